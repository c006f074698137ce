"""Names that are near, and numbers with their nouns."""

import pytest

from penstock.ground.wording import near_names, numbered


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        (
            "requests_per_minut",
            ["tokens_per_minute", "requests_per_day"],
            "Did you mean requests_",
        ),
        ("QWEN3", ["Qwen3", "llama"], "Did you mean Qwen3?"),
        ("foo", ["a", "b"], "There are: a, b."),
        ("foo", [], ""),
        ("foo", [f"name-{n}" for n in range(50)], ""),
    ],
)
def test_the_nearest_names_are_told_else_all_if_they_are_few(
    name: str, known: list[str], said: str
) -> None:
    told = near_names(name, known)
    assert told.startswith(said)
    assert bool(told) == bool(said)


def test_one_is_not_many() -> None:
    assert numbered(1, "chain") == "1 chain"
    assert numbered(0, "chain") == "0 chains"
    assert numbered(1200, "entry", "entries") == "1,200 entries"
