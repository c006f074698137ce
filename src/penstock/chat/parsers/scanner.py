"""Reads text that is still arriving: a position, and steps that wait for more.

Every step is a generator. It yields where the text so far does not decide, is resumed once there
is more (or once there will be none: `final`), and moves `at` only over what it has taken. So what
it finds does not depend on how the text was cut, and no character is read twice.
"""

import re
from collections.abc import Generator
from typing import TypeVar

_Result = TypeVar("_Result")
Steps = Generator[None, None, _Result]

_MOST_DEEP = 64
_BLANK = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[A-Za-z0-9_./:-]*")
_PLAIN = re.compile(r"""[^"'()\[\]{}]*""")
_STRING = {quote: re.compile(rf"(?:[^{quote}\\]|\\.)*", re.DOTALL) for quote in "\"'"}
_CLOSES = {"{": "}", "[": "]", "(": ")"}


class Scanner:
    """`text` may grow at its end between steps; nothing follows once it is `final`."""

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.final = False

    def blank(self) -> Steps[None]:
        """Take the blanks that come."""
        while True:
            found = _BLANK.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text) or self.final:
                return
            yield

    def peek(self) -> Steps[str]:
        """Return the character that comes, and take nothing; empty at the end."""
        while self.at >= len(self.text) and not self.final:
            yield
        return self.text[self.at : self.at + 1]

    def literal(self, *words: str) -> Steps[str | None]:
        """Take the one of `words` that comes; None, and take nothing, if none does."""
        longest = max(map(len, words), default=0)
        while True:
            ahead = self.text[self.at : self.at + longest]
            for word in words:
                if ahead.startswith(word):
                    self.at += len(word)
                    return word
            if self.final or not any(word.startswith(ahead) for word in words):
                return None
            yield

    def word(self) -> Steps[str]:
        """Take letters, digits and `_./:-`; empty if none comes."""
        begin = self.at
        while True:
            found = _WORD.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text) or self.final:
                return self.text[begin : self.at]
            yield

    def brackets(self, quotes: str = '"') -> Steps[str | None]:
        """Take what stands between the bracket that comes and its closing one, both included.

        None if brackets do not match, are nested too deep, or the text ends within.
        """
        begin, open_, quote = self.at, list[str](), ""
        while True:
            while self.at < len(self.text):
                pattern = _STRING[quote] if quote else _PLAIN
                found = pattern.match(self.text, self.at)
                self.at = found.end() if found else self.at
                character = self.text[self.at : self.at + 1]
                if character in ("", "\\"):  # the other half of an escape is still to come
                    break
                if not quote and character in "\"'":
                    quote = character if character in quotes else ""
                elif quote:
                    quote = ""
                elif character in _CLOSES and len(open_) < _MOST_DEEP:
                    open_.append(_CLOSES[character])
                elif not open_ or open_.pop() != character:
                    return None
                self.at += 1
                if not open_ and not quote:
                    return self.text[begin : self.at]
            if self.final:
                self.at = len(self.text)
                return None
            yield
