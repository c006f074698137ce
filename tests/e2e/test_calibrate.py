"""A real engine is measured, and the plan for this machine says what was seen."""

import json
from collections.abc import Iterator
from math import exp
from pathlib import Path
from statistics import median

import pytest
from tests.e2e.test_up import penstock

LOAD = ("--prompt-tokens", "100", "--output-tokens", "40", "--warm-up", "0.5", "--duration", "3")


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PENSTOCK_CONFIG", str(tmp_path / "config"))
    manifest = "load: {prompt_tokens: 100, output_tokens: 40, requests_per_minute: 60}\n"
    (tmp_path / "penstock.yaml").write_text(manifest)
    penstock(tmp_path, "up", "--detach", "--port", "0")
    yield tmp_path
    penstock(tmp_path, "down")


def test_what_was_measured_is_what_the_plan_for_this_machine_says(stack: Path) -> None:
    """That it comes nearer, tests/sizing shows: here the machine may be busy with anything."""
    guessed = json.loads(penstock(stack, "plan", "--extrapolate", "--json").stdout)["here"]
    told = json.loads(penstock(stack, "bench", "-c", "1,2,4", "--json", *LOAD).stdout)
    assert all(run["failed"] == 0 for run in told["runs"])
    assert told["runs"][0]["prompt_tokens"] == pytest.approx(100, abs=5)
    assert told["engine_version"]

    found = json.loads(penstock(stack, "calibrate", told["file"], "--json").stdout)
    fit, points = found["fit"], found["points"]
    assert len(points) == 9
    assert {"tpot_ms", "ttft_ms", "tokens_per_s"} == set(fit["factors"])
    for metric, factor in fit["factors"].items():
        ratios = [p["measured"] / p["before"] for p in points if p["metric"] == metric]
        assert factor == pytest.approx(median(ratios), rel=0.001)

    known = json.loads(penstock(stack, "plan", "--json").stdout)["here"]
    assert guessed["unknown"]
    assert (known["unknown"], known["measured_on"]) == (None, fit["as_of"])
    for shown, metric in (("ttft_ms_p50", "ttft_ms"), ("tpot_ms", "tpot_ms")):
        expected = guessed[shown]["estimate"] * fit["factors"][metric]
        assert known[shown]["estimate"] == pytest.approx(expected, rel=0.2)
        width = known[shown]["high"] / known[shown]["low"]
        assert width == pytest.approx(exp(2 * fit["bars"][metric]), rel=0.05)
