"""What measurements of a machine make of its estimates."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sizing.test_speed import EFFICIENCY, served

from penstock.sizing.calibration import read_calibration
from penstock.sizing.correction import Measured, compare, correct
from penstock.sizing.serving import Load

EIGHT = served()
CHAT = Load(512, 128)


def seen(factors: dict[str, float], clients: int, load: Load = CHAT) -> Measured:
    """A load on a machine that is `factors` off in every estimate."""
    bare = Measured(load, clients, 0, {})
    told = bare.predict(EIGHT, EFFICIENCY, 32)
    return replace(bare, seen={m: told[m] * by for m, by in factors.items()})


@given(st.floats(0.3, 3), st.floats(0.3, 3))
def test_a_machine_that_is_off_by_a_factor_is_found_out(tpot: float, ttft: float) -> None:
    factors = {"tpot_ms": tpot, "ttft_ms": ttft}
    fit = correct(EIGHT, EFFICIENCY, [seen(factors, n) for n in (1, 8, 32)], "2026-11-21")
    assert fit.factors == pytest.approx(factors, rel=1e-3)
    assert set(fit.bars) == set(factors)
    assert max(fit.bars.values()) == pytest.approx(0.1)


def test_few_loads_leave_wide_bars() -> None:
    one = correct(EIGHT, EFFICIENCY, [seen({"tpot_ms": 1.5}, 1)], "")
    three = correct(EIGHT, EFFICIENCY, [seen({"tpot_ms": 1.5}, n) for n in (1, 4, 8)], "")
    assert one.bars["tpot_ms"] > three.bars["tpot_ms"]


def test_what_is_left_after_the_correction_is_in_the_bars() -> None:
    loads = [seen({"tpot_ms": by}, n) for by, n in ((1.0, 1), (1.5, 8), (2.5, 32))]
    fit = correct(EIGHT, EFFICIENCY, loads, "")
    assert fit.factors["tpot_ms"] == pytest.approx(1.5, rel=1e-3)
    assert fit.bars["tpot_ms"] == pytest.approx(0.51, abs=0.01)


def test_a_load_does_not_judge_itself_where_there_are_three() -> None:
    loads = [seen({"tpot_ms": by}, n) for by, n in ((1.5, 1), (2.0, 8), (3.0, 32))]
    points = compare(EIGHT, EFFICIENCY, loads, None)
    assert points[2].after == pytest.approx(points[2].measured / 3 * (1.5 * 2.0) ** 0.5, rel=1e-3)
    assert points[0].before == pytest.approx(points[0].measured / 1.5, rel=1e-3)


def test_a_correction_holds_for_its_machine_and_model_and_helps_those_near() -> None:
    fit = correct(EIGHT, EFFICIENCY, [seen({"tpot_ms": 1.5}, n) for n in (1, 4, 8)], "")
    calibration = replace(read_calibration(), local=(fit,))
    assert calibration.local_fit(EIGHT) == fit
    kin = calibration.local_fit(served("mistralai/Mistral-7B-Instruct-v0.3"))
    assert kin
    assert kin.factors == fit.factors
    assert kin.bars["tpot_ms"] > fit.bars["tpot_ms"]
    assert calibration.local_fit(served("meta-llama/Llama-3.1-70B-Instruct")) is None
    assert calibration.local_fit(served("Qwen/Qwen3-30B-A3B")) is None
    assert calibration.local_fit(served(precision="fp8")) is None
    assert calibration.local_fit(served(gpu="H200")) is None


def test_bars_of_a_correction_widen_away_from_what_was_measured() -> None:
    fit = correct(EIGHT, EFFICIENCY, [seen({"tpot_ms": 1.5}, n) for n in (1, 4, 8)], "")
    calibration = replace(read_calibration(), local=(fit,))
    near, far = (
        calibration.interval("tpot_ms", 10, EIGHT, load, 0) for load in (CHAT, Load(8192, 128))
    )
    assert near.middle == far.middle == pytest.approx(15)
    assert far.high > near.high


def test_an_open_loop_that_did_not_keep_up_says_nothing() -> None:
    drowned = Measured(CHAT, 0, 1e6, {"tpot_ms": 10})
    assert drowned.predict(EIGHT, EFFICIENCY, 32) == {}
    assert correct(EIGHT, EFFICIENCY, [drowned], "").factors == {}
