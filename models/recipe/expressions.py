"""Arithmetic as people say it, and as the calculator wants it."""

import random

from .lexicon import Lexicon

CROSS = " \N{MULTIPLICATION SIGN} "
SPOKEN = {
    "+": ("+", "+", " + ", " + ", " plus ", " plus "),
    "-": ("-", "-", " - ", " - ", " minus ", " minus "),
    "*": (
        "*",
        "*",
        " * ",
        " * ",
        " times ",
        " times ",
        " x ",
        "x",
        " \N{MULTIPLICATION SIGN} ",
        " multiplied by ",
    ),
    "/": ("/", "/", " / ", " / ", " divided by ", " ÷ ", " over "),
    "**": ("**", "^", " ^ ", " ** ", " to the power of "),
}
TIGHT = {"+": "+", "-": "-", "*": "*", "/": "/", "**": "^"}
LOOSE = {"+": " + ", "-": " - ", "*": " * ", "/": " / ", "**": " ** "}


def make_expression(rng: random.Random, lexicon: Lexicon, *, held_out: bool) -> tuple[str, str]:
    """What the user says and the expression it stands for; held-out ones never meet training."""
    while True:
        said, expression = _draw(rng)
        if lexicon.is_held_out(expression) == held_out:
            return said, expression


def _draw(rng: random.Random) -> tuple[str, str]:
    form = rng.random()
    if form < 0.5:
        return _chain(rng, 2)
    if form < 0.65:
        return _chain(rng, rng.choice((3, 3, 4)))
    if form < 0.88:
        return _bracketed(rng)
    if form < 0.94:
        share, whole = _number(rng), _number(rng)
        return rng.choice((f"{share}% of {whole}", f"{share} percent of {whole}")), (
            f"{share}/100*{whole}"
        )
    number = _number(rng)
    return rng.choice((f"{number} squared", f"{number} to the power of 2")), f"{number}**2"


def _chain(rng: random.Random, length: int) -> tuple[str, str]:
    signs = [rng.choice(("+", "-", "*", "/", "+", "-", "*", "/", "**")) for _ in range(length - 1)]
    numbers = [_number(rng) for _ in range(length)]
    style = rng.choice((TIGHT, LOOSE, None, None))
    said = expression = numbers[0]
    for sign, number in zip(signs, numbers[1:], strict=True):
        said += (style[sign] if style else rng.choice(SPOKEN[sign])) + number
        expression += sign + number
    return said, expression


def _bracketed(rng: random.Random) -> tuple[str, str]:
    style = rng.choice((TIGHT, LOOSE))
    a, b, c, d = (_number(rng) for _ in range(4))
    p, q, r = (rng.choice("+-*/") for _ in range(3))
    form = rng.choice(
        (
            ("(", a, p, b, ")", q, c),
            (a, q, "(", b, p, c, ")"),
            ("(", a, p, b, ")", q, "(", c, r, d, ")"),
            ("(", a, p, b, q, c, ")", r, d),
            (a, r, "(", b, q, "(", c, p, d, ")", ")"),
        )
    )
    said = "".join(style.get(part, part) for part in form)
    return said, "".join(form)


def _number(rng: random.Random) -> str:
    form = rng.random()
    if form < 0.35:
        return str(rng.randint(0, 20))
    if form < 0.65:
        return str(rng.randint(10, 199))
    if form < 0.82:
        return str(rng.randint(100, 99999))
    if form < 0.97:
        return f"{rng.randint(0, 300)}.{rng.randint(0, 99)}"
    return f"-{rng.randint(1, 99)}"
