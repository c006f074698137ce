"""Tool results as text: JSON, bounded, valid UTF-8."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chat.results import error_text, result_text


def test_results_are_json_as_the_model_knows_it() -> None:
    result = {"location": "Zürich", "temperature": 7, "found": [1, 2.5, None, True]}
    assert (
        result_text(result, 1000)
        == '{"location": "Zürich", "temperature": 7, "found": [1, 2.5, null, true]}'
    )


ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
)


@given(JSON, st.integers(64, 300))
def test_a_cut_never_exceeds_its_bound_and_stays_json(result: object, bound: int) -> None:
    whole = json.dumps(result, ensure_ascii=False)
    short = result_text(result, bound)
    assert len(short.encode()) <= bound
    if len(whole.encode()) <= bound:
        assert short == whole
        return
    told = json.loads(short)
    beginning = result if isinstance(result, str) else whole
    assert list(told) == ["truncated", "bytes", "content"]
    assert told["truncated"] is True
    assert told["bytes"] == len(beginning.encode())
    assert beginning.startswith(told["content"])
    one_more = json.dumps(beginning[: len(told["content"]) + 1], ensure_ascii=False)
    room = (
        bound - len(short.encode()) + len(json.dumps(told["content"], ensure_ascii=False).encode())
    )
    assert len(one_more.encode()) > room, "no more would have fitted"


@given(ANY_TEXT, st.integers(64, 300))
def test_a_failure_is_json_within_its_bound(what: str, bound: int) -> None:
    short = error_text(what, bound)
    assert len(short.encode()) <= bound
    told = json.loads(short)
    assert what.startswith(told["error"])
    assert (told["error"] == what) != told.get("truncated", False)


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
    assert error_text("x" * 1000, 64) == '{"error": "%s", "truncated": true}' % ("x" * 32)
