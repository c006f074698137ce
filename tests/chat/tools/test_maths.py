"""Arithmetic: right, and bounded before the work is done."""

import math
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chat.tools.maths import MathTool, calculate
from penstock.ground.errors import ToolError


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("12*7", 84),
        ("2 + 3 * 4", 14),
        ("2+3^2", 11),
        ("2**10", 1024),
        ("-2^2", -4),
        ("10 / 4", 2.5),
        ("10 / 2", 5),
        ("7 // 2", 3),
        ("17 % 5", 2),
        ("0.1 + 0.2", 0.3),
        ("2/3", 0.666666666667),
        ("1e20", 1e20),
        ("99999999999 * 99999999999", 9999999999800000000001),
        ("5 \N{MULTIPLICATION SIGN} 3 \N{DIVISION SIGN} 2 \N{MINUS SIGN} 1", 6.5),
        ("sqrt(144) + abs(-3)", 15),
        ("round(2.567, 2)", 2.57),
        ("min(3, 1, 2) + max(1, 2)", 3),
        ("log(e) + sin(0) + cos(0)", 2),
        ("2*pi", 6.28318530718),
        ("((((1))))", 1),
    ],
)
def test_values(expression: str, result: float) -> None:
    value = calculate(expression)
    assert value == result
    assert type(value) is type(result)


@given(
    st.recursive(
        st.integers(0, 10**6).map(str),
        lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
            lambda parts: f"({parts[0]}{parts[1]}{parts[2]})"
        ),
        max_leaves=12,
    )
)
def test_integers_stay_exact(expression: str) -> None:
    exact = eval(expression, {"__builtins__": {}})  # noqa: S307 - digits and + - * ( ) only
    assert calculate(expression) == exact


@given(st.fractions(max_denominator=1000), st.fractions(max_denominator=1000))
def test_divisions_are_right_to_twelve_digits(one: Fraction, other: Fraction) -> None:
    expression = f"({one.numerator}/{one.denominator})*({other.numerator}/{other.denominator})"
    assert math.isclose(calculate(expression), float(one * other), rel_tol=1e-11)


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9",
        "9^9^9^9",
        "(10**99)**99",
        "2**-(10**90)",
        "1e308*10",
        "exp(1000)",
        "10**101",
        "9" * 150,
        "round(5, -10**9)",
        "((10**99)*(10**99))",
    ],
)
def test_large_numbers_are_refused_at_once(expression: str) -> None:
    began = time.thread_time()
    with pytest.raises(ToolError, match="more than 100 digits"):
        calculate(expression)
    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("1/0", "division by zero"),
        ("5 % 0", "division by zero"),
        ("sqrt(-1)", "no value"),
        ("(-8)**0.5", "no value"),
        ("log(0)", "no value"),
        ("max()", "no value"),
        ("abs", "no value"),
        ("f(2)", "there is no function f"),
        ("x + 1", "x is not a number"),
        ("", "cannot be read"),
        ("2 +", "cannot be read"),
        ("1\x00", "cannot be read"),
        ("1; 2", "cannot be read"),
        ("a = 1", "cannot be read"),
        ("True", "cannot be read"),
        ("2j", "cannot be read"),
        ("'a' * 9", "cannot be read"),
        ("[1]", "cannot be read"),
        ("1 < 2", "cannot be read"),
        ("1 if 1 else 2", "cannot be read"),
        ("(1).real", "cannot be read"),
        ("__import__('os')", "cannot be read"),
        ("(lambda: 1)()", "cannot be read"),
        ("round(1, ndigits=2)", "cannot be read"),
        ("max(*pi)", "cannot be read"),
        ("(" * 150 + ")" * 150, "cannot be read"),
        ("-" * 200 + "1", "nested more than 40"),
        ("1+" * 200 + "1", "longer than 300"),
    ],
)
def test_what_has_no_value_is_told(expression: str, told: str) -> None:
    with pytest.raises(ToolError, match=told):
        calculate(expression)


@given(st.text(st.sampled_from("0123456789.+-*/%^()e, sqrtminaxlogpi_x'\"[]{}"), max_size=60))
def test_any_text_has_a_value_or_an_error(expression: str) -> None:
    try:
        value = calculate(expression)
    except ToolError:
        return
    assert type(value) in (int, float)
    assert math.isfinite(value)


async def test_the_answer_has_the_shape_the_model_is_trained_on() -> None:
    assert await MathTool().call({"expression": "12*7"}) == {"expression": "12*7", "result": 84}
