"""One question to a deployment in AWS: by its front, or by SageMaker's runtime without one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.cli.address import Address as Place
from penstock.cli.client import Piece, read_pieces
from penstock.cli.output import note
from penstock.cli.planning import hub_cache
from penstock.ground.errors import RequestError
from penstock.manifest.model import Manifest
from penstock.targets.sagemaker.dialects import CHAT, dialect_of, question, text_of
from penstock.wiring.deploying import open_deployer

if TYPE_CHECKING:
    from penstock.targets.sagemaker.deployer import Deployer
    from penstock.targets.sagemaker.runtime import Address


class Deployed:
    """Asks one model or adapter of a deployment."""

    def __init__(self, deployer: Deployer, address: Address, engine: str) -> None:
        self._deployer, self._address = deployer, address
        self._dialect = dialect_of(engine)

    def answer(self, messages: list[dict[str, str]], options: Mapping[str, object]) -> bytes:
        """The answer as the container gave it."""
        asked = question(self._dialect, messages, options)
        return self._deployer.runtime.ask(self._address, asked)

    def text(self, answer: bytes) -> tuple[str, str]:
        """What the model said, and why it ended where the container tells."""
        reason = ""
        if self._dialect == CHAT:
            reason = str(json.loads(answer)["choices"][0].get("finish_reason", ""))
        return text_of(self._dialect, answer), reason

    def stream(
        self, messages: list[dict[str, str]], options: Mapping[str, object]
    ) -> Iterator[Piece]:
        """The pieces of the answer as they come.

        Raises:
            RequestError: the container does not stream in OpenAI's shape.
        """
        if self._dialect != CHAT:
            raise RequestError(
                "this engine's streams are not OpenAI's", fix="Ask without --stream"
            )
        usage = {"stream": True, "stream_options": {"include_usage": True}}
        asked = question(self._dialect, messages, {**options, **usage})
        yield from read_pieces(self._deployer.runtime.stream(self._address, asked))


@contextmanager
def open_deployed(manifest: Manifest, model: str | None) -> Iterator[Deployed]:
    """The deployment of a manifest, ready to be asked.

    Raises:
        UserError: there is no such model, or the deployment is asynchronous.
    """
    if manifest.target.mode == "async":
        raise RequestError(
            "an asynchronous endpoint is asked through S3",
            fix="`penstock status --json` has the command for it (outputs.CurlExample)",
        )
    with open_deployer(manifest, hub_cache()) as deployer:
        yield Deployed(deployer, deployer.address(model), manifest.engine_kind)


def front_of(manifest: Manifest, key: str | None) -> Place | None:
    """The front of a deployment, opened by `key` or by the first tenant's.

    None where it has none, or none that can be asked from here, which is told.
    """
    if manifest.front.kind == "none":
        return None
    with open_deployer(manifest, hub_cache()) as deployer:
        door = deployer.door(note)
    if door is None:
        return None
    headers = {name.lower(): value for name, value in door.headers.items()}
    return Place(door.url, key, door.model, headers)
