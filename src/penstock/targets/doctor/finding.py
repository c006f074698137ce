"""What an examination comes to: a verdict, what it rests on, and what to do."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from penstock.ground.errors import PenstockError

_MOST_EVIDENCE = 600


class Verdict(StrEnum):
    """How it is; `UNKNOWN` where it could not be looked at."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    `check` names it for good, as `network.zones`; `evidence` is what was seen, and where; `policy`
    is a piece of an IAM policy to be added, where that is the remedy.
    """

    check: str
    verdict: Verdict
    says: str
    evidence: str
    fix: str = ""
    policy: Mapping[str, object] | None = None

    def told(self) -> dict[str, object]:
        """It as plain data."""
        told: dict[str, object] = {
            "check": self.check,
            "verdict": self.verdict.value,
            "says": self.says,
            "evidence": self.evidence,
            "fix": self.fix,
        }
        return told | ({"policy": dict(self.policy)} if self.policy else {})


def good(check: str, says: str, evidence: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, says, _line(evidence))


def doubtful(check: str, says: str, evidence: str, fix: str) -> Finding:
    """It may go wrong, or be dear."""
    return Finding(check, Verdict.WARNING, says, _line(evidence), fix)


def bad(check: str, says: str, evidence: str, fix: str) -> Finding:
    """It goes wrong."""
    return Finding(check, Verdict.FAILED, says, _line(evidence), fix)


def unseen(check: str, says: str, evidence: str, fix: str = "") -> Finding:
    """Nobody could look."""
    return Finding(check, Verdict.UNKNOWN, says, _line(evidence), fix)


def _line(text: str) -> str:
    """Evidence in one line of bearable length."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_EVIDENCE else f"{line[:_MOST_EVIDENCE]}..."


Family = Callable[[], Iterable[Finding]]
"""A family of checks; it looks, and says what it found."""


def examine(families: Mapping[str, Family]) -> Iterator[Finding]:
    """The findings of all families; one that cannot look does not keep the others from it."""
    for name, family in families.items():
        try:
            yield from family()
        except PenstockError as error:
            yield unseen(name, error.what, error.why or str(error), error.fix)
