"""What a check finds, and how it is told."""

from difflib import get_close_matches
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from penstock.manifest.fields import Path, dotted


class Flaw(NamedTuple):
    """Something that does not fit, where it stands, and how to mend it."""

    path: Path
    what: str
    fix: str = ""
    example: str = ""


def unknown_name(path: Path, kind: str, name: str, known: list[str]) -> Flaw:
    """Return the flaw of a name that stands for nothing, with the nearest that does."""
    nearest = get_close_matches(name.lower(), known, n=1)
    fix = f"Did you mean '{nearest[0]}'?" if nearest else f"There is: {', '.join(known)}."
    return Flaw(path, f"{dotted(path)} names no {kind}: '{name}'", fix)


NO_URL = (
    "this is no http:// or https:// address",
    "Write scheme, host and port.",
    "http://127.0.0.1:8000",
)
"""What is wrong with what is no address, how to mend it, and an example."""


def http_url(text: str) -> SplitResult | None:
    """Return the parts of an http or https address without query; none if it is no such."""
    try:
        url = urlsplit(text)
        sound = url.scheme in ("http", "https") and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        return None
    return url if sound and not url.query and not url.fragment else None
