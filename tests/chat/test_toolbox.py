"""Tools by name, and arguments checked against their schemas."""

import pytest
from tests.fakes.chat_tools import ONE_NUMBER, returns

from penstock.chat.toolbox import Toolbox


def test_arguments_are_checked_against_the_schema() -> None:
    box = Toolbox([returns("count", 1, ONE_NUMBER)])
    assert box.problems("count", {"n": 3}) == ""
    assert box.problems("count", {"n": "x"}) == '"x" is not of type "integer" (at /n)'
    assert "required" in (box.problems("count", {}) or "")
    assert box.names == ("count",)
    assert box.get("other") is None


def test_a_schema_reaches_nothing_outside() -> None:
    schema = {"properties": {"n": {"$ref": "http://127.0.0.1:9/schema.json"}}}
    with pytest.raises(ValueError, match=r"may not refer to http://127\.0\.0\.1:9"):
        Toolbox([returns("spy", 1, schema)])


def test_a_wrong_schema_is_told_at_the_start() -> None:
    with pytest.raises(ValueError, match="the schema of odd cannot be used"):
        Toolbox([returns("odd", 1, {"type": "nonsense"})])


def test_a_regular_expression_cannot_take_for_ever() -> None:
    schema = {"properties": {"s": {"type": "string", "pattern": r"^(?=(a+)+$)(a|a)*b\1$"}}}
    box = Toolbox([returns("slow", 1, schema)])
    assert box.problems("slow", {"s": "a" * 4000 + "!"}) != ""


def test_names_are_unique_and_their_own() -> None:
    with pytest.raises(ValueError, match="two tools are called a"):
        Toolbox([returns("a", 1), returns("a", 2), returns("b", 3)])
    stranger = returns("a", 1)
    stranger.name = "b"
    with pytest.raises(ValueError, match="does not define a function b"):
        Toolbox([stranger])
