"""An image as a part of a deployment."""

from collections.abc import Callable

from penstock.plan.carrying_out import Tell
from penstock.plan.steps import Found, Kind, Piece, Verb
from penstock.targets.aws.builds import Builds
from penstock.targets.aws.stack import ImageBuild


class BuildPart:
    """A container image; `builds` is none before the base stack stands."""

    def __init__(self, build: ImageBuild, builds: Callable[[], Builds | None]) -> None:
        self.piece = Piece(f"image {build.tag}", Kind.FILE, f"image {build.tag}")
        self._build, self._builds = build, builds

    def find(self) -> Found:
        """Whether it is there, or being built."""
        builds = self._builds()
        if builds is None:
            return Found.ABSENT
        if builds.has(self._build.tag):
            return Found.PRESENT
        return Found.BUSY if builds.under_way(self._build) else Found.ABSENT

    def do(self, verb: Verb, tell: Tell) -> None:
        """Build it, or wait for a build that is under way."""
        builds = self._builds()
        if builds is None:
            raise ValueError(f"there is no repository for {self._build.tag}")
        name = builds.under_way(self._build)
        if name is None and verb is Verb.AWAIT:
            return  # it has ended meanwhile
        if name is None:
            builds.make(self._build, tell)
        else:
            builds.wait(name, tell)
