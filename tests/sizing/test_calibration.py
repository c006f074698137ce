"""How sure an estimate is: bars, how they widen, and where there is no estimate."""

import json
from dataclasses import replace
from importlib.resources import files
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sizing.test_speed import CATALOGUE, served

from penstock.sizing.calibration import Calibration, Interval, LocalFit, read_calibration
from penstock.sizing.fitting import fit, residuals
from penstock.sizing.observations import METRICS, read_observations
from penstock.sizing.serving import Load

CALIBRATION = read_calibration()
SETS = (
    "calibration",
    "held_out",
    "held_out_fresh",
    "held_out_second",
    "held_out_circulating",
)
CHAT = Load(512, 128)


def interval(calibration: Calibration, gpu: str, load: Load) -> Interval:
    here = served(gpu=gpu)
    return calibration.interval("tpot_ms", 10, here, load, calibration.distance(here, load))


def width(calibration: Calibration, load: Load, gpu: str = "H100") -> float:
    bar = interval(calibration, gpu, load)
    assert bar.low < bar.middle == 10 < bar.high
    return log(bar.high / bar.low)


@given(st.floats(1, 20), st.floats(1, 20))
def test_bars_never_shrink_with_the_distance_to_the_nearest_measurement(
    a: float, b: float
) -> None:
    nearer, farther = sorted((a, b))
    only = replace(CALIBRATION, spots=CALIBRATION.spots[:1])
    spot = only.spots[0]
    loads = [Load(spot.prompt * by, spot.output) for by in (nearer, farther)]
    near, far = (width(only, load, spot.gpu) for load in loads)
    assert far >= near - 1e-9


def test_a_gpu_that_was_not_measured_has_wider_bars_than_one_that_was() -> None:
    assert width(CALIBRATION, CHAT, "A10G") > width(CALIBRATION, CHAT, "A100-40")


@pytest.mark.parametrize(
    ("model", "gpu", "load", "why"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "H100", Load(120_000, 100), "prompt tokens"),
        ("meta-llama/Llama-3.1-8B-Instruct", "H100", Load(500, 9_000), "answer tokens"),
        ("meta-llama/Llama-3.1-405B-Instruct", "H100", CHAT, "parameters"),
        ("deepseek-ai/DeepSeek-V3", "H200", CHAT, "latent attention"),
    ],
)
def test_far_from_all_measurements_there_is_no_estimate(
    model: str, gpu: str, load: Load, why: str
) -> None:
    assert why in CALIBRATION.out_of_reach(served(model, gpu), load)


def test_on_a_kind_of_gpu_that_nobody_measured_there_is_no_estimate() -> None:
    one = served()
    newer = replace(one, gpu=replace(one.gpu, name="R100", architecture="rubin"))
    assert CALIBRATION.out_of_reach(newer, CHAT) == "no measurement on R100 or its kind"


def test_what_one_source_alone_measured_has_a_wider_bar() -> None:
    spots = CALIBRATION.spots
    alone = replace(CALIBRATION, lonely=("hopper dense",), spots=spots)
    company = replace(CALIBRATION, lonely=(), spots=spots)
    assert alone.distance(served(), CHAT) > company.distance(served(), CHAT)
    assert "ampere-gddr dense" in CALIBRATION.lonely


def test_bars_are_those_of_the_kind_of_model() -> None:
    mixture = served("Qwen/Qwen3-30B-A3B", "A100-80")
    dense = served("Qwen/Qwen3-8B", "A100-80")
    for one, kind in ((mixture, "experts"), (dense, "dense")):
        bar = CALIBRATION.interval("ttft_ms", 10, one, CHAT, 0)
        assert bar.high == pytest.approx(10 * exp(CALIBRATION.bars[kind]["ttft_ms"]))


def test_near_a_measurement_there_is_one() -> None:
    assert CALIBRATION.out_of_reach(served(), CHAT) == ""


def test_measurements_of_this_very_machine_replace_the_bars() -> None:
    here = LocalFit(
        gpu="H100",
        tensor_parallel=1,
        precision="none",
        engine="vllm-v1",
        model="meta-llama/Llama-3.1-8B-Instruct",
        parameters=8e9,
        sparse=False,
        prompts=(100, 1000),
        outputs=(100, 200),
        factors={"tpot_ms": 1.5},
        bars={"tpot_ms": 0.1},
        points=3,
        as_of="2026-11-21",
    )
    calibration = replace(CALIBRATION, local=(here,))
    assert interval(calibration, "H100", CHAT).middle == 15
    assert interval(calibration, "H200", CHAT).middle == 10


def test_no_run_is_fitted_to_and_judged_on() -> None:
    runs = [{row.run for row in read_observations(name, CATALOGUE)} for name in SETS]
    assert sum(len(each) for each in runs) == len(set().union(*runs))


def test_every_measurement_says_where_it_is_from_and_when() -> None:
    text = files("penstock.sizing").joinpath("data", "sources.json").read_text("utf-8")
    sources = json.loads(text)
    for name in SETS:
        for row in read_observations(name, CATALOGUE):
            assert row.source in sources, row.source
            assert row.as_of[:2] == "20"
            assert row.seen


def test_the_factors_are_those_of_the_measurements() -> None:
    """A fit from the package's factors stays within the step of the search."""
    rows = read_observations("calibration", CATALOGUE)
    again = fit(rows, CALIBRATION.efficiency, rounds=2)
    before, after = (
        sum(abs(found.log_ratio) for found in residuals(each, rows))
        for each in (CALIBRATION.efficiency, again)
    )
    assert after > before * 0.97


def test_held_out_rows_are_as_near_as_the_documentation_says() -> None:
    """Median absolute log error by metric, all rows in reach of the held-out sets of today."""
    limits = {"tokens_per_s": 0.22, "tpot_ms": 0.13, "ttft_ms": 0.55}
    rows = [row for name in SETS[1:4] for row in read_observations(name, CATALOGUE)]
    near = [row for row in rows if not CALIBRATION.out_of_reach(row.served, row.load)]
    for metric in METRICS:
        errors = sorted(
            abs(found.log_ratio)
            for found in residuals(CALIBRATION.efficiency, near)
            if found.metric == metric
        )
        assert errors[len(errors) // 2] < limits[metric], metric
