"""From what a deployment is made of, and how each piece was found, to the steps that remain.

A piece stands for something in the world: a stack, a file in a bucket, what a removal must not
leave, or a question that an endpoint must answer. Whoever observes says how each was found; the
steps follow from that alone, so a run that was cut off is taken up by planning anew. Nothing here
touches the world, and the record of an earlier run is not asked: only what was found counts.

Where a piece is under way already, the only steps are to wait for it: what is to be done depends
on how it ends. It is the same with one that got stuck on its way back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a piece is."""

    STACK = "stack"
    """Resources that are applied, and removed, together."""
    FILE = "file"
    """A file that lies somewhere; it goes with what it lies in."""
    RESIDUE = "residue"
    """What would stay behind after a removal; nothing that is deployed by itself."""
    DATA = "data"
    """What is to be saved before a removal."""
    CHECK = "check"
    """A question to what was deployed; asked at every deployment."""


class Found(StrEnum):
    """How a piece was found."""

    ABSENT = "absent"
    PRESENT = "present"
    BUSY = "busy"
    """Something is under way with it, begun by an earlier run or by somebody else."""
    WRECKED = "wrecked"
    """It failed so that it can only be removed."""
    STUCK = "stuck"
    """It failed on its way back, which has to be gone on with first."""


class Verb(StrEnum):
    """What a step does with its piece."""

    AWAIT = "wait for"
    MEND = "mend"
    REMOVE = "remove"
    APPLY = "apply"
    SAVE = "save"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a deployment: a name that no other has, and what it is, for people."""

    name: str
    kind: Kind
    about: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do with one piece."""

    verb: Verb
    piece: Piece

    def __str__(self) -> str:
        """As a line of progress names it."""
        return f"{self.verb} {self.piece.about}"


Findings = Mapping[str, Found]
"""How each piece was found, by its name."""


def to_deploy(pieces: Sequence[Piece], found: Findings) -> tuple[Step, ...]:
    """The steps that bring every piece to what it should be, in the order of `pieces`."""
    if first := _waits(pieces, found) or _mends(pieces, found):
        return first
    return tuple(step for piece in pieces for step in _deploy(piece, found[piece.name]))


def to_destroy(pieces: Sequence[Piece], found: Findings) -> tuple[Step, ...]:
    """The steps that remove every piece that there is, the last one of `pieces` first."""
    if waits := _waits(pieces, found):
        return waits
    verbs = {Kind.STACK: Verb.REMOVE, Kind.RESIDUE: Verb.REMOVE, Kind.DATA: Verb.SAVE}
    return tuple(
        Step(verbs[piece.kind], piece)
        for piece in reversed(pieces)
        if piece.kind in verbs and found[piece.name] is not Found.ABSENT
    )


def is_settling(steps: Sequence[Step]) -> bool:
    """Whether these steps only settle what was begun: after them one has to plan again."""
    return any(step.verb in (Verb.AWAIT, Verb.MEND) for step in steps)


def _waits(pieces: Sequence[Piece], found: Findings) -> tuple[Step, ...]:
    busy = (piece for piece in pieces if found[piece.name] is Found.BUSY)
    return tuple(Step(Verb.AWAIT, piece) for piece in busy)


def _mends(pieces: Sequence[Piece], found: Findings) -> tuple[Step, ...]:
    stuck = (piece for piece in pieces if found[piece.name] is Found.STUCK)
    return tuple(Step(Verb.MEND, piece) for piece in stuck)


def _deploy(piece: Piece, found: Found) -> tuple[Step, ...]:
    if piece.kind in (Kind.RESIDUE, Kind.DATA):
        return ()
    if piece.kind is Kind.CHECK:
        return (Step(Verb.CHECK, piece),)
    if piece.kind is Kind.FILE and found is Found.PRESENT:
        return ()
    wreck = (Step(Verb.REMOVE, piece),) if found is Found.WRECKED else ()
    return (*wreck, Step(Verb.APPLY, piece))
