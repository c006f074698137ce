"""Stop strings in text that arrives in pieces.

The result does not depend on where the text is cut: the match that ends first wins, and of those
that end together the longest. Text that may be the beginning of a match is held back until that
is decided.
"""


class StopScanner:
    """Watches one growing text for `stops`."""

    def __init__(self, stops: tuple[str, ...], *, include: bool = False) -> None:
        self._stops, self._include = stops, include
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """Return the text that may be shown, and the stop string if one was reached."""
        held = self._held + text
        matches = [
            (held.find(stop) + len(stop), -len(stop), stop) for stop in self._stops if stop in held
        ]
        if matches:
            end, _, stop = min(matches)
            self._held = ""
            return held[: end if self._include else end - len(stop)], stop
        keep = max((_overlap(held, stop) for stop in self._stops), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep], None

    def flush(self) -> str:
        """Return what was held back, when no more text will come."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that `stop` begins with."""
    longest = min(len(stop) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
