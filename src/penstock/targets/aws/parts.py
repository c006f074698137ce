"""A target made of parts: each knows one piece of a deployment, how to find it and what to do."""

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Protocol

from penstock.ground.errors import PenstockError
from penstock.plan.carrying_out import Tell
from penstock.plan.changes import StackChange
from penstock.plan.steps import Found, Kind, Piece, Step, Verb
from penstock.targets.aws.bucket import Bucket
from penstock.targets.aws.logs import Logs
from penstock.targets.aws.stack import Stack, Upload
from penstock.targets.aws.stacks import StackFailed, Stacks


class Part(Protocol):
    """One piece, and everything that is done with it."""

    piece: Piece

    def find(self) -> Found:
        """How it is; nothing is changed."""

    def do(self, verb: Verb, tell: Tell) -> None:
        """Do something with it; doing it twice is as doing it once."""


class Parts:
    """A `Target` of parts, in their order: what others need comes first."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = {part.piece.name: part for part in parts}

    def pieces(self) -> Sequence[Piece]:
        """The piece of every part."""
        return tuple(part.piece for part in self._parts.values())

    def find(self, piece: Piece) -> Found:
        """How a piece is."""
        return self._parts[piece.name].find()

    def do(self, step: Step, tell: Tell) -> None:
        """Do one step."""
        self._parts[step.piece.name].do(step.verb, tell)


class StackPart:
    """A stack; `stack` gives it as it should be, when it is applied."""

    def __init__(
        self,
        name: str,
        stacks: Stacks,
        stack: Callable[[], Stack] | None = None,
        bucket: Callable[[], str | None] = lambda: None,
        explain: Callable[[StackFailed], PenstockError] = lambda failed: failed,
        *,
        keep_wreck: bool = False,
    ) -> None:
        self.piece = Piece(name, Kind.STACK, f"stack {name}")
        self.shown: StackChange | None = None
        self._name, self._stacks, self._stack, self._bucket = name, stacks, stack, bucket
        self._explain, self._keep_wreck = explain, keep_wreck

    def find(self) -> Found:
        """How the stack is."""
        seen = self._stacks.find(self._name)
        return seen.found if seen else Found.ABSENT

    def preview(self) -> StackChange:
        """What applying it would change; it will not be applied if it would change more then."""
        self.shown = self._stacks.preview(self._wanted(), self._bucket())
        return self.shown

    def do(self, verb: Verb, tell: Tell) -> None:
        """Apply, remove, mend or wait for the stack."""
        try:
            self._do(verb, tell)
        except StackFailed as failed:
            raise self._explain(failed) from failed

    def _do(self, verb: Verb, tell: Tell) -> None:
        if verb is Verb.AWAIT:
            self._stacks.wait(self._name, tell)
        elif verb is Verb.MEND:
            self._stacks.mend(self._name, tell)
        elif verb is Verb.REMOVE:
            self._stacks.remove(self._name, tell)
        else:
            self._stacks.apply(
                self._wanted(), self.shown, self._bucket(), tell, keep_wreck=self._keep_wreck
            )

    def _wanted(self) -> Stack:
        if self._stack is None:
            raise ValueError(f"{self._name} can only be removed")
        return self._stack()


class FilePart:
    """A file that has to lie in the deployment's bucket; its key tells what is in it."""

    def __init__(self, upload: Upload, bucket: Callable[[], Bucket | None]) -> None:
        title = PurePosixPath(upload.key).name
        self.piece = Piece(f"file {upload.key}", Kind.FILE, f"upload of {title}")
        self._upload, self._bucket = upload, bucket

    def find(self) -> Found:
        """Whether it lies there."""
        bucket = self._bucket()
        return Found.PRESENT if bucket and bucket.has(self._upload.key) else Found.ABSENT

    def do(self, verb: Verb, tell: Tell) -> None:
        """Put it there."""
        bucket = self._bucket()
        if bucket is None:
            raise ValueError(f"there is no bucket for {self._upload.key}")
        bucket.put(self._upload, tell)


class ContentsPart:
    """What is in the deployment's bucket, which cannot be deleted before it is empty."""

    def __init__(self, bucket: Callable[[], Bucket | None]) -> None:
        self.piece = Piece("contents", Kind.RESIDUE, "everything in the bucket")
        self._bucket = bucket

    def find(self) -> Found:
        """Whether there is anything in it."""
        bucket = self._bucket()
        return Found.PRESENT if bucket and not bucket.is_empty() else Found.ABSENT

    def do(self, verb: Verb, tell: Tell) -> None:
        """Delete it all, older versions too."""
        if bucket := self._bucket():
            tell(f"{bucket.empty()} objects deleted from {bucket.name}")


class LogsPart:
    """Log groups that AWS has made for what was deployed; they outlive it, and cost money."""

    def __init__(self, logs: Logs, groups: Callable[[], Sequence[str]]) -> None:
        self.piece = Piece("logs", Kind.RESIDUE, "the containers' logs")
        self._logs, self._groups = logs, groups

    def find(self) -> Found:
        """Whether there are any."""
        return Found.PRESENT if self._groups() else Found.ABSENT

    def do(self, verb: Verb, tell: Tell) -> None:
        """Delete them."""
        for group in self._groups():
            self._logs.delete(group)
            tell(f"{group}: deleted")


class CheckPart:
    """A question to what was deployed."""

    def __init__(self, name: str, about: str, ask: Callable[[Tell], None]) -> None:
        self.piece = Piece(name, Kind.CHECK, about)
        self._ask = ask

    def find(self) -> Found:
        """A question is always open."""
        return Found.ABSENT

    def do(self, verb: Verb, tell: Tell) -> None:
        """Ask it; raises a PenstockError where the answer is not as it should be."""
        self._ask(tell)
