"""Inference components on the endpoint that its stack did not make.

Adapters that were published later are among them, and those of others. Deleting an endpoint would
leave them behind.
"""

from collections.abc import Callable, Iterable

from penstock.ground.errors import UserError
from penstock.plan.carrying_out import Tell
from penstock.plan.steps import Found, Kind, Piece, Verb
from penstock.targets.aws.patience import Patience
from penstock.targets.aws.stack import DEPLOYMENT_TAG
from penstock.targets.sagemaker.hosted import Component, Hosting

STEADY = {"InService", "Failed"}
"""States in which SageMaker deletes a component; in all others it has to be waited for."""


class AttachedPart:
    """The components on an endpoint beside those called `known()`."""

    def __init__(
        self,
        hosting: Hosting,
        endpoint: str,
        deployment: str,
        known: Callable[[], Iterable[str]],
    ) -> None:
        self.piece = Piece("attached", Kind.RESIDUE, "components beside the stack's own")
        self._hosting, self._endpoint = hosting, endpoint
        self._deployment, self._known = deployment, known

    def find(self) -> Found:
        """Whether there are any.

        Raises:
            UserError: some of them are not of this deployment.
        """
        return Found.PRESENT if self._others() else Found.ABSENT

    def do(self, verb: Verb, tell: Tell) -> None:
        """Delete them, adapters before what carries them, and wait until they are gone."""
        patience = Patience(f"components of {self._endpoint}")
        while others := self._others():
            adapters = [each for each in others if each.base]
            for each in adapters or others:
                if each.status in STEADY and self._hosting.delete_component(each.name):
                    tell(f"{each.name}: being deleted")
                    patience.news()
            patience.pause()

    def _others(self) -> list[Component]:
        known = set(self._known())
        others = [e for e in self._hosting.components(self._endpoint) if e.name not in known]
        foreign = [
            each.name
            for each in others
            if self._hosting.tags(each.arn).get(DEPLOYMENT_TAG) != self._deployment
        ]
        if foreign:  # what has gone since it was listed has no tags any more
            there = {each.name for each in self._hosting.components(self._endpoint)}
            others = [each for each in others if each.name in there]
            foreign = [name for name in foreign if name in there]
        if foreign:
            raise UserError(
                f"{self._endpoint} carries components that Penstock did not make",
                why=", ".join(foreign),
                fix="Delete them first: aws sagemaker delete-inference-component "
                f"--inference-component-name {foreign[0]}",
            )
        return others
