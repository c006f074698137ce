"""`penstock logs`: what it says where there is nothing to show."""

from pathlib import Path

from tests.cli.conftest import Run


def test_no_logs_at_all(run: Run) -> None:
    for arguments in (("logs",), ("logs", "gateway")):
        ran = run(*arguments)
        assert ran.code == 2
        assert "there are no logs here. Start a stack with `penstock up`" in ran.err


def test_a_log_that_is_not_there(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / ".penstock" / "logs"
    folder.mkdir(parents=True)
    (tmp_path / ".penstock" / "run.json").write_text("{}")
    for name in ("engine-1", "gateway"):
        (folder / f"{name}.log").write_text("up\n")
    ran = run("logs", "gatway")
    assert ran.code == 2
    assert "there is no log gatway: there are engine-1, gateway. Name one of them" in ran.err
    assert run("logs", "engine").out == "up\n"
