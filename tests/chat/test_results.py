"""Tool results as text: JSON, bounded, valid UTF-8."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chat.results import cut, error_text, result_text


def test_results_are_json_as_the_model_knows_it() -> None:
    result = {"location": "Zürich", "temperature": 7, "found": [1, 2.5, None, True]}
    assert (
        result_text(result, 1000)
        == '{"location": "Zürich", "temperature": 7, "found": [1, 2.5, null, true]}'
    )


@given(st.text(st.characters(codec="utf-8")), st.integers(1, 200))
def test_a_cut_never_exceeds_its_bound_and_stays_text(text: str, bound: int) -> None:
    short = cut(text, bound)
    size = len(text.encode())
    assert len(short.encode()) <= bound
    if size <= bound:
        assert short == text
    elif bound >= 64:
        mark = f" [cut: {size} bytes in all]"
        assert short.endswith(mark)
        assert text.startswith(short.removesuffix(mark))


def cyclic() -> list[object]:
    ring: list[object] = []
    ring.append(ring)
    return ring


def deep() -> list[object]:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    "result",
    [b"\x00\xff", {"x": object()}, float("nan"), "\ud800", {1, 2}, cyclic(), deep()],
    ids=["bytes", "object", "nan", "surrogate", "set", "cycle", "deep"],
)
def test_what_is_not_json_is_refused(result: object) -> None:
    with pytest.raises(ValueError, match="a tool may return"):
        result_text(result, 1000)


def test_errors_are_json_whatever_they_say() -> None:
    assert error_text("no weather data for Atlantis", 99) == (
        '{"error": "no weather data for Atlantis"}'
    )
    assert json.loads(error_text('a "quote" \ud800', 99)) == {"error": 'a "quote" ?'}
    assert len(error_text("x" * 1000, 64).encode()) == 64
