"""`bench` and `calibrate` as a user types them; the engine keeps a pace of its own."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.conftest import Ran, Run
from tests.fakes.paced_engine import PacedEngine, serve
from tests.measurement.test_result import result
from tests.measurement.test_summary import WINDOW, answer

from penstock.cli.output import ExitCode
from penstock.measurement.result import write
from penstock.measurement.summary import summarize
from penstock.measurement.workload import Workload

SHORT = ("--duration", "0.5", "--warm-up", "0", "--prompt-tokens", "65", "--output-tokens", "10")


def bench(run: Run, *arguments: str) -> Ran:
    """Measure until there is something: while a machine stands still nobody gets an answer."""
    for _ in range(10):
        ran = run("bench", *arguments, *SHORT)
        if ran.code == 0:
            return ran
        assert ran.code == ExitCode.FAILED, ran.err
        assert "failed" not in ran.err, ran.err
    raise AssertionError(ran.err)


@pytest.fixture
def engine() -> Iterator[PacedEngine]:
    with serve(PacedEngine(first_s=0.03, gap_s=0.01)) as engine:
        yield engine


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSTOCK_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


def test_it_shows_percentiles_and_leaves_a_file(run: Run, engine: PacedEngine) -> None:
    given = ("--url", engine.url, "--key", "s3cr3t-key", "-c", "1,2", "--output", "r.json")
    ran = bench(run, *given)
    assert "2 clients, 65 + 10 tokens:" in ran.out
    assert "p50 ms" in ran.out
    assert "TTFT" in ran.out
    assert "next: penstock calibrate r.json" in ran.err
    kept = json.loads(Path("r.json").read_text())
    assert [one["clients"] for one in kept["runs"]] == [1, 2]
    assert kept["engine_version"] == "1.2.3"
    assert kept["hardware"]["cpus"] >= 1
    assert "s3cr3t-key" not in json.dumps(kept)


def test_json_is_the_result(run: Run, engine: PacedEngine) -> None:
    ran = bench(run, "--url", engine.url, "--rate", "20", "--json")
    told = json.loads(ran.out)
    assert told["runs"][0]["requests_per_s_asked"] == 20
    assert told["runs"][0]["ttft_ms"]["p95"] >= told["runs"][0]["ttft_ms"]["p50"] >= 30
    assert Path(told["file"]).is_file()


@pytest.mark.parametrize("given", [("-c", "none"), ("-c", "0"), ("--rate", "-1"), ("-c", "1,,2")])
def test_a_load_that_is_none_is_refused(run: Run, engine: PacedEngine, given: tuple[str]) -> None:
    ran = run("bench", "--url", engine.url, *given, *SHORT)
    assert ran.code == 2
    assert "says no load" in ran.err


def test_an_engine_that_only_fails_is_a_failure(run: Run, engine: PacedEngine) -> None:
    engine.breaks = True
    ran = run("bench", "--url", engine.url, "-c", "1", *SHORT)
    assert ran.code == 4
    assert "the stream carries an error" in ran.err


def test_calibrate_brings_the_plan_nearer(run: Run, config: Path) -> None:
    """Three loads, measured on a machine that never stood still."""
    begins = [WINDOW.begin + 0.125 * number for number in range(80)]
    seen = [answer(at, [at + 0.03 + 0.01 * each for each in range(10)]) for at in begins]
    load = summarize(Workload(65, 10, clients=1), seen, WINDOW)
    write(replace(result(), runs=(load,) * 3), Path("r.json"))
    ran = run("calibrate", "r.json")
    assert ran.code == 0, ran.err
    assert "loads" in ran.out
    assert "measured" in ran.out
    assert (config / "calibration.json").is_file()
    told = json.loads(run("calibrate", "r.json", "--json").out)
    tpot = [point for point in told["points"] if point["metric"] == "tpot_ms"]
    assert all(abs(p["after"] / p["measured"] - 1) < 0.3 for p in tpot)
    Path("penstock.yaml").write_text("load: {prompt_tokens: 65, output_tokens: 10}\n")
    here = json.loads(run("plan", "--json").out)["here"]
    measured = tpot[0]["measured"]
    assert here["unknown"] is None
    assert here["tpot_ms"]["low"] < measured < here["tpot_ms"]["high"]
    assert "measured on 3 loads" in run("plan").out


def test_what_nobody_measured_the_plan_does_not_know(run: Run) -> None:
    assert "nobody measured: penstock bench, then calibrate" in run("plan").out
    assert "a guess" in run("plan", "--extrapolate").out


def test_calibrate_once_more_replaces_what_was_known(
    run: Run, engine: PacedEngine, config: Path
) -> None:
    bench(run, "--url", engine.url, "-c", "1", "-o", "r.json")
    for _ in range(2):
        assert run("calibrate", "r.json").code == 0
    assert len(json.loads((config / "calibration.json").read_text())) == 1
    run("calibrate", "r.json", "--hardware", "g5.xlarge", "--model", "Qwen/Qwen3-0.6B")
    rows = json.loads((config / "calibration.json").read_text())
    assert [row["gpu"] for row in rows][1:] == ["A10G"]
    assert rows[1]["model"] == "Qwen/Qwen3-0.6B"


def test_a_result_from_elsewhere_needs_its_hardware(run: Run, engine: PacedEngine) -> None:
    bench(run, "--url", engine.url, "-c", "1", "-o", "r.json")
    kept = json.loads(Path("r.json").read_text())
    Path("r.json").write_text(json.dumps({**kept, "hardware": {}}))
    ran = run("calibrate", "r.json")
    assert ran.code == 2
    assert "--hardware g5.xlarge" in ran.err


def test_results_of_two_machines_are_not_mixed(run: Run, engine: PacedEngine) -> None:
    for name in ("H100", "L4"):
        given = ("--url", engine.url, "-c", "1", "-o", f"{name}.json", "--hardware", name)
        bench(run, *given)
    ran = run("calibrate", "H100.json", "L4.json")
    assert ran.code == 2
    assert "different machines" in ran.err


def test_a_calibration_of_another_version_is_refused_with_what_to_do(
    run: Run, config: Path
) -> None:
    config.mkdir()
    (config / "calibration.json").write_text('[{"gpu": "H100"}]')
    ran = run("plan")
    assert ran.code == 2
    assert "Delete calibration.json" in ran.err
