"""A head that comes again: what was read of it once still stands.

On a kept connection a client, and an engine too, says the same head over and over; only the
length of the body differs. Reading one takes llhttp and a Python call for each header: 6 us of
a client's request, 2 of an engine's answer, in a plain request that took 21 in all. So whoever
has let llhttp read a head keeps its bytes, and where the next one has the same bytes but for the
digits of `content-length`, keeps what was read. Nothing is judged here, only compared: what a
head means, and whether it is HTTP at all, llhttp alone says, so there is no second opinion to
smuggle something past.
"""

import re

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})(?=\r\n)", re.IGNORECASE)
_MAX_DIGITS = 12


class SameHead:
    """One head, with its closing empty line, as the next one is expected."""

    __slots__ = ("_after", "_before", "length")

    def __init__(self, head: bytes) -> None:
        """`head` must have passed llhttp; it has one `content-length` at most."""
        found = _LENGTH.search(head)
        self.length: int | None = None
        """The length in the head that was compared last."""
        self._before, self._after = head, b""
        if found is not None:
            self.length = int(found[1])
            begin, end = found.span(1)
            self._before, self._after = head[:begin], head[end:]

    def end_in(self, data: bytes) -> int:
        """Return where this head ends at the beginning of `data`, and note its `length`.

        0 where another head begins there, or part of one.
        """
        before, after = self._before, self._after
        if not data.startswith(before):
            return 0
        at = len(before)
        if self.length is None:
            return at
        end = data.find(after, at, at + _MAX_DIGITS + len(after))
        digits = data[at:end]
        if end < 0 or not digits.isdigit():
            return 0
        self.length = int(digits)
        return end + len(after)
