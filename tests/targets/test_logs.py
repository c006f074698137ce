"""Reading logs from their end, and moving them aside."""

from pathlib import Path

import pytest

from penstock.targets.local.event import Event, Phase
from penstock.targets.local.logs import KEPT, Follower, begin, journal, tail


@pytest.mark.parametrize("count", [0, 1, 3, 10_000])
def test_tail_gives_the_last_lines(tmp_path: Path, count: int) -> None:
    path = tmp_path / "x.log"
    lines = [f"line {number} {'é' * (number % 50)}" for number in range(5000)]
    path.write_text("\n".join(lines) + "\n")
    assert tail(path, count) == (lines[-count:] if count else [])


def test_tail_of_nothing(tmp_path: Path) -> None:
    assert tail(tmp_path / "none.log", 5) == []
    (tmp_path / "empty.log").write_text("")
    assert tail(tmp_path / "empty.log", 5) == []


def test_begin_keeps_a_few_old_logs(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "x.log"
    for number in range(KEPT + 3):
        begin(path)
        path.write_text(str(number))
    begin(path)
    kept = sorted(file.name for file in path.parent.iterdir())
    assert kept == [f"x.log.{number}" for number in range(1, KEPT + 1)]
    assert (tmp_path / "logs/x.log.1").read_text() == str(KEPT + 2)


def test_following_goes_on_after_rotation(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("old\n")
    follower = Follower(path)
    assert list(follower.lines()) == []
    with path.open("a") as file:
        file.write("one\nhal")
    assert list(follower.lines()) == ["one"]
    with path.open("a") as file:
        file.write("f\n")
    assert list(follower.lines()) == ["half"]
    begin(path)
    assert list(follower.lines()) == []
    path.write_text("new\n")
    assert list(follower.lines()) == ["new"]


def test_what_came_just_before_a_rotation_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("old\n")
    follower = Follower(path)
    with path.open("a") as file:
        file.write("last\nha")
    begin(path)
    assert list(follower.lines()) == [], "there is no file yet"
    path.write_text("lf\nnew\n")
    assert list(follower.lines()) == ["last", "half", "new"]
    begin(path)
    path.write_text("newer\n")
    assert list(follower.lines()) == ["newer"]


def test_the_journal_skips_seconds_of_waiting(tmp_path: Path) -> None:
    write = journal(tmp_path / "supervisor.log")
    write(Event("engine", Phase.STARTING, "waits"))
    write(Event("engine", Phase.STARTING, "waits", elapsed_s=1.0))
    (line,) = (tmp_path / "supervisor.log").read_text().splitlines()
    assert line.endswith("Z engine starting: waits")
