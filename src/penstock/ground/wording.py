"""Names and numbers as sentences have them."""

from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 12


def near_names(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the names spelt most like `name`, else with all if they are few."""
    there = list(dict.fromkeys(known))
    lowered = {each.lower(): each for each in reversed(there)}
    close = [lowered[each] for each in get_close_matches(name.lower(), list(lowered), n=3)]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"There are: {', '.join(there)}." if 0 < len(there) <= _MOST else ""


def numbered(count: int, noun: str, plural: str = "") -> str:
    """Return `1 chain`, `2 chains`; `plural` where it is not the noun and an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
