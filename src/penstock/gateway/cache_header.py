"""`x-penstock-cache`: what one request says of the response cache.

`on`, `off` or `refresh` (answer anew, and keep that), then perhaps `; ttl=SECONDS`.
"""

from typing import NamedTuple

from penstock.ground.errors import RequestError

NAME = b"x-penstock-cache"
_MODES = (b"on", b"off", b"refresh")


class Wish(NamedTuple):
    """What a request wants. `asked`: it said so itself; `ttl_s`: how long its answer may live."""

    asked: bool
    off: bool
    refresh: bool
    ttl_s: float


def wish_of(headers: list[tuple[bytes, bytes]], ttl_s: float, max_ttl_s: float) -> Wish:
    """Return what `headers` say; `ttl_s` is how long answers live where they do not.

    Raises:
        RequestError: the header cannot be understood.
    """
    given = [value for name, value in headers if name == NAME]
    if not given:
        return Wish(False, False, False, ttl_s)
    mode, _, more = given[-1].strip().lower().partition(b";")
    mode = mode.strip()
    if mode not in _MODES:
        raise _wrong("it is `on`, `off` or `refresh`")
    if more:
        word, _, number = more.strip().partition(b"=")
        if word != b"ttl" or not number.isdigit() or not 0 < int(number[:12]) <= max_ttl_s:
            raise _wrong(f"what may follow is `; ttl=SECONDS`, {max_ttl_s:.0f} at most")
        ttl_s = float(number)
    return Wish(True, mode == b"off", mode == b"refresh", ttl_s)


def _wrong(why: str) -> RequestError:
    name = NAME.decode()
    return RequestError(f"the header {name} is wrong", why=why, param=name, code="invalid_value")
