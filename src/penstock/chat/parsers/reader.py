"""Parts an answer that arrives in pieces into text and calls, in one of the `FORMS`.

What is certainly text comes out at once. Held back is only what may begin a call, and a call that
is not whole yet; if it turns out to be none it comes out as the text it was, byte for byte. Blanks
(and what else the form puts between calls) right behind a call are dropped if another one or the
end follows. How the text is cut changes the pieces, never what they add up to, and no character
is read twice but a bounded number of times: a hostile text costs no more than another.
"""

import re
from collections.abc import Collection

from penstock.chat.parsers.form import Form
from penstock.chat.parsers.scanner import Scanner, Steps
from penstock.chat.parsers.written import WrittenCall

_MOST = 1 << 18  # characters of one call; what is longer is text
_STEP = 1 << 12  # characters looked at in one go

Piece = str | WrittenCall


class CallReader:
    """Reads one answer. `names` are the tools that may be called."""

    def __init__(self, form: Form, names: Collection[str]) -> None:
        self._form, self._names = form, names
        marks = "|".join(map(re.escape, form.marks))
        bare = rf"\n[ \t\r]*(?P<bare>{re.escape(form.bare)})" if form.bare else ""
        alternatives = (rf"(?P<mark>{marks})", bare)
        self._opening = re.compile("|".join(filter(None, alternatives)))
        at_begin = bare.replace(r"\n", r"(?:\A|\n)", 1)
        self._opening_afresh = re.compile("|".join(filter(None, (alternatives[0], at_begin))))
        self._held = ""
        self._fresh = True  # nothing but blanks since the beginning, a line's end or a call
        self._gap: str | None = None  # what came since a call, while it may be dropped
        self._steps: Steps[list[WrittenCall]] | None = None
        self._scan, self._began = Scanner(), ""

    def push(self, text: str) -> list[Piece]:
        """Return what `text` makes certain."""
        pieces: list[Piece] = []
        for at in range(0, len(text), _STEP):
            self._held += text[at : at + _STEP]
            self._advance(pieces, final=False)
        return pieces

    def finish(self) -> list[Piece]:
        """Return the rest: no more text will come."""
        pieces: list[Piece] = []
        self._advance(pieces, final=True)
        return pieces

    def _advance(self, pieces: list[Piece], *, final: bool) -> None:
        while self._held:
            if self._steps is None and not self._find(pieces, final=final):
                break
            if not self._read(pieces, final=final):
                break

    def _find(self, pieces: list[Piece], *, final: bool) -> bool:
        """Give the text before the next opening; false if there is none."""
        if self._gap is not None:
            rest = self._held.lstrip(self._form.between)
            self._gap += self._held[: len(self._held) - len(rest)]
            self._held = rest
        pattern = self._opening_afresh if self._fresh else self._opening
        found = pattern.search(self._held)
        if found is None:
            end = len(self._held) - (0 if final else self._overlap())
            self._show(end, pieces)
            return False
        kind = found.lastgroup or ""
        self._began = found[kind]
        self._show(found.start(kind), pieces)
        self._scan = Scanner()
        self._scan.at = len(self._began) if kind == "mark" else 0
        self._steps = self._form.read(self._scan, self._began, self._names)
        return True

    def _read(self, pieces: list[Piece], *, final: bool) -> bool:
        """Go on with the call that has begun; false if more text is needed."""
        scan, steps = self._scan, self._steps
        scan.text = self._held[:_MOST]
        scan.final = final and len(self._held) <= _MOST
        calls: list[WrittenCall] = []
        try:
            next(steps or iter(()))
        except StopIteration as end:
            calls = end.value or []
        else:
            if len(self._held) < _MOST:
                return False
            scan.at = _MOST
        self._steps = None
        if not calls:
            self._show(max(scan.at, len(self._began)), pieces)
            return True
        pieces.extend(calls)
        self._held = self._held[scan.at :]
        self._fresh, self._gap = True, ""
        return True

    def _show(self, end: int, pieces: list[Piece]) -> None:
        """Give the first `end` characters that are held as text."""
        if not end:
            return
        text, self._held = self._held[:end], self._held[end:]
        if self._gap is not None:
            text, self._gap = self._gap + text, None
        line = text.rpartition("\n")
        self._fresh = not line[2].strip(" \t\r") and (bool(line[1]) or self._fresh)
        if pieces and isinstance(pieces[-1], str):
            pieces[-1] += text
        else:
            pieces.append(text)

    def _overlap(self) -> int:
        """Return how many characters at the end may begin a mark."""
        return max(
            (
                size
                for mark in self._form.marks
                for size in range(1, len(mark))
                if self._held.endswith(mark[:size])
            ),
            default=0,
        )
