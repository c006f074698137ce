"""Names of places as people and models write them."""

import pytest

from penstock.chat.tools.places import fold, split_place


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("São  Paulo", "sao paulo"),
        ("KØBENHAVN", "kobenhavn"),
        ("Łódź", "lodz"),
        ("St. Petersburg", "st petersburg"),
        ("Xi\N{RIGHT SINGLE QUOTATION MARK}an", "xian"),
        ("Port-au-Prince", "port au prince"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("e\N{COMBINING ACUTE ACCENT}", "e"),
    ],
)
def test_names_are_folded(written: str, folded: str) -> None:
    assert fold(written) == folded


def test_what_follows_a_comma_says_where() -> None:
    assert split_place("Paris") == ("paris", ())
    assert split_place(" Paris , Île-de-France, FR,") == ("paris", ("ile de france", "fr"))
