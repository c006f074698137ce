"""Names of places as people and models write them."""

import unicodedata

# Letters that Unicode does not take apart, and the marks that are left out of names.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae"}
    | {"\N{LATIN SMALL LETTER DOTLESS I}": "i"}
    | dict.fromkeys((".", "'", "`", "\N{RIGHT SINGLE QUOTATION MARK}"), "")
    | {"-": " "}
)


def fold(name: str) -> str:
    """Return `name` for comparing: no case, no diacritics, no punctuation, single spaces."""
    letters = unicodedata.normalize("NFKD", name.casefold()).translate(_LETTERS)
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(plain.split())


def split_place(location: str) -> tuple[str, tuple[str, ...]]:
    """Split `Paris, Île-de-France, France` into the city and what says where it lies, folded."""
    city, *rest = (fold(part) for part in location.split(","))
    return city, tuple(part for part in rest if part)
