"""Splits: shares hold, keys stay, and weights move only whom they must."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.gateway.routing.arms import arm_of

KEYS = [f"key-{number:x}" for number in range(5000)]
weights = st.lists(st.floats(0, 100).filter(lambda w: w == 0 or w > 0.01), min_size=1, max_size=5)


def _arms(values: list[float]) -> list[tuple[str, float]]:
    return [(f"arm-{number}", weight) for number, weight in enumerate(values)]


def test_shares_hold() -> None:
    arms = [("stable", 90.0), ("canary", 10.0)]
    canary = sum(arm_of(key, "m", arms) == 1 for key in KEYS)
    assert 400 < canary < 600  # 500 +- 4.7 sigma


@settings(max_examples=60, deadline=None)
@given(weights, st.integers(0, 4), st.floats(0.1, 50))
def test_more_weight_only_moves_keys_to_the_arm(
    values: list[float], place: int, more: float
) -> None:
    place %= len(values)
    raised = [*values]
    raised[place] += more
    for key in KEYS[:200]:
        before, after = arm_of(key, "m", _arms(values)), arm_of(key, "m", _arms(raised))
        assert after in (before, place)


@settings(max_examples=60, deadline=None)
@given(weights)
def test_an_arm_that_goes_moves_only_its_own_keys(values: list[float]) -> None:
    arms = _arms(values)
    for key in KEYS[:200]:
        before, after = arm_of(key, "m", arms), arm_of(key, "m", arms[:-1])
        assert after == before or before == len(arms) - 1


def test_no_weight_no_traffic() -> None:
    assert {arm_of(key, "m", [("a", 0.0), ("b", 0.001)]) for key in KEYS[:500]} == {1}
    assert arm_of("key", "m", [("a", 0.0)]) is None
    assert arm_of("key", "m", []) is None


def test_splits_of_two_models_are_independent() -> None:
    arms = [("a", 1.0), ("b", 1.0)]
    same = sum(arm_of(key, "one", arms) == arm_of(key, "other", arms) for key in KEYS)
    assert 0.45 < same / len(KEYS) < 0.55
