import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.manifest.document import MAX_ALIASES, parse
from penstock.manifest.problems import Spot


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("010", 10),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        (".inf", ".inf"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("[a, 1]", ("a", 1)),
        ("{1: a}", {"1": "a"}),
    ],
)
def test_scalars_mean_what_they_look_like(text: str, value: object) -> None:
    document = parse(f"x: {text}")
    assert document.problems == []
    assert document.data == {"x": value}
    assert isinstance(document.data["x"], type(value))


def test_every_part_has_its_place() -> None:
    document = parse("a:\n  b: [x, y]\n  c: 1\n")
    assert document.keys[("a", "b")] == Spot(2, 3)
    assert document.values[("a", "b", 1)] == Spot(2, 10)
    assert document.spot(("a", "c", "d")) == Spot(3, 6)
    assert document.spot(("z",)) == Spot(1, 1)


def test_aliases_are_expanded() -> None:
    document = parse("a: &x {min: 1}\nb: *x\n")
    assert document.data == {"a": {"min": 1}, "b": {"min": 1}}


def test_a_byte_order_mark_and_crlf_change_nothing() -> None:
    assert parse("a: 1\r\nb: 2\r\n").data == {"a": 1, "b": 2}


@pytest.mark.parametrize("levels", [9, 30, MAX_ALIASES])
def test_an_alias_bomb_costs_little(levels: int) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, levels))]
    document = parse("\n".join(lines))
    assert len(document.values) <= 20_000


@given(st.text(max_size=60))
def test_no_text_is_too_strange(text: str) -> None:
    document = parse(text)
    assert document.problems or document.data is None or document.values


_TEXT = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8)
_TREES = st.recursive(
    st.booleans() | st.integers(-(10**9), 10**9) | st.none() | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.dictionaries(_TEXT, inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(_TEXT, _TREES, max_size=4))
def test_json_is_read_as_what_it_is(data: dict[str, object]) -> None:
    document = parse(json.dumps(data, ensure_ascii=False))
    assert document.problems == []
    assert document.data == data
