"""A real engine is measured, and the plan for this machine becomes right about it."""

import json
from collections.abc import Iterator
from pathlib import Path

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


def test_measuring_brings_the_plan_for_this_machine_nearer(stack: Path) -> None:
    guessed = json.loads(penstock(stack, "plan", "--extrapolate", "--json").stdout)["here"]
    told = json.loads(penstock(stack, "bench", "-c", "1,2,4", "--json", *LOAD).stdout)
    assert all(run["failed"] == 0 for run in told["runs"])
    assert told["runs"][0]["prompt_tokens"] == pytest.approx(100, abs=5)
    assert told["engine_version"]

    found = json.loads(penstock(stack, "calibrate", told["file"], "--json").stdout)
    known = json.loads(penstock(stack, "plan", "--json").stdout)["here"]
    assert known["unknown"] is None
    assert known["tpot_ms"]["high"] / known["tpot_ms"]["low"] < (
        guessed["tpot_ms"]["high"] / guessed["tpot_ms"]["low"]
    )
    points = found["points"]
    off = {
        when: sorted(abs(point[when] / point["measured"] - 1) for point in points)
        for when in ("before", "after")
    }
    middle = len(points) // 2
    assert off["after"][middle] < off["before"][middle]
