"""Carrying steps out: each is written down when it begins and when it ends, and told meanwhile.

The record is for people and for finding again what was under way; which steps remain is found by
looking (see `steps.py`).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from penstock.plan.steps import Findings, Found, Piece, Step, is_settling

Tell = Callable[[str], None]
"""Hears what happens, a line at a time."""
Planner = Callable[[Sequence[Piece], Findings], tuple[Step, ...]]
"""`steps.to_deploy` or `steps.to_destroy`."""


class Target(Protocol):
    """Where a deployment goes."""

    def pieces(self) -> Sequence[Piece]:
        """Everything that the deployment is made of, what others need first."""

    def find(self, piece: Piece) -> Found:
        """Look how a piece is; nothing is changed."""

    def do(self, step: Step, tell: Tell) -> None:
        """Do one step, again if need be: doing it twice is as doing it once.

        Raises:
            PenstockError: it failed; the error says why, and what to do.
        """


class Journal(Protocol):
    """What is written down about a run."""

    def begin(self, step: Step) -> None:
        """A step is about to be done."""

    def end(self, step: Step) -> None:
        """A step is done."""


def look(target: Target) -> tuple[Sequence[Piece], Findings]:
    """All pieces of a target, and how each was found."""
    pieces = target.pieces()
    return pieces, {piece.name: target.find(piece) for piece in pieces}


def remaining(target: Target, planner: Planner) -> tuple[Step, ...]:
    """The steps that `planner` finds to be left."""
    return planner(*look(target))


def settle(target: Target, planner: Planner, journal: Journal, tell: Tell) -> tuple[Step, ...]:
    """Bring what an earlier run began to its end; returns the steps that remain after that.

    Raises:
        PenstockError: it does not come to an end.
    """
    while is_settling(steps := remaining(target, planner)):
        carry_out(target, steps, journal, tell)
    return steps


def carry_out(target: Target, steps: Sequence[Step], journal: Journal, tell: Tell) -> None:
    """Do `steps` one after the other.

    Raises:
        PenstockError: a step failed; those before it are done.
    """
    for step in steps:
        journal.begin(step)
        tell(str(step))
        target.do(step, tell)
        journal.end(step)
