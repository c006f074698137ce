"""What is wrong with a manifest, one thing at a time, and how it reads."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from penstock.ground.errors import ManifestError


class Mark(Protocol):
    """A position as PyYAML counts it: from 0."""

    line: int
    column: int


class Spot(NamedTuple):
    """A place in the file, counted from 1 as editors do."""

    line: int
    column: int

    @classmethod
    def of(cls, mark: Mark | None) -> "Spot":
        """The spot that PyYAML's `mark` stands for; the top of the file without one."""
        return cls(mark.line + 1, mark.column + 1) if mark else cls(1, 1)


class Problem(NamedTuple):
    """One mistake: where, `what` (with why), the `fix` as a sentence, an `example` in YAML.

    No `spot` means that the value came from the command line.
    """

    spot: Spot | None
    what: str
    fix: str = ""
    example: str = ""

    def render(self, file: str) -> str:
        """`file:line:column: what. fix`, and the example on a line of its own."""
        place = f"{file}:{self.spot.line}:{self.spot.column}" if self.spot else "command line"
        text = f"{place}: {self.what}."
        if self.fix:
            text += f" {self.fix}"
        if self.example:
            text += f"\n    Example: `{self.example}`"
        return text


def as_error(problems: Sequence[Problem], file: str) -> ManifestError:
    """One error that holds every problem, in the order of the file."""
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem.spot or Spot(0, 0))
    return ManifestError("\n".join(problem.render(file) for problem in ordered))
