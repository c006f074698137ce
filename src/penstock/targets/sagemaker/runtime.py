"""SageMaker's runtime: a question to an endpoint or a component, in its container's words."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from penstock.ground.errors import CloudError, EngineRefused
from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors, code_of, message_of

NO_CAPACITY = "has no capacity"
"""In SageMaker's refusal where a component has no copy."""


class Asleep(CloudError):
    """No copy of the model runs: it has scaled to zero."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a question goes; without a component, to the endpoint's own model."""

    endpoint: str
    component: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """As boto3 takes it."""
        named = {"InferenceComponentName": self.component} if self.component else {}
        return {"EndpointName": self.endpoint, **named}

    def __str__(self) -> str:
        return self.component or self.endpoint


class Runtime:
    """Asks endpoints of an account."""

    def __init__(self, account: Account) -> None:
        self._client: Any = account.client("sagemaker-runtime")

    def ask(self, address: Address, body: dict[str, object]) -> bytes:
        """The whole answer.

        Raises:
            Asleep: no copy runs.
            EngineRefused: the container answered with an error.
            CloudError: SageMaker refused, or cannot be reached.
        """
        with _refusals(address):
            answer = self._client.invoke_endpoint(
                **address.parameters, **_content(body), Accept="application/json"
            )
            with closing(answer["Body"]) as opened:
                return bytes(opened.read())

    def stream(self, address: Address, body: dict[str, object]) -> Iterator[bytes]:
        """The answer in the pieces it came in; raises as `ask`."""
        with _refusals(address):
            answer = self._client.invoke_endpoint_with_response_stream(
                **address.parameters, **_content(body)
            )
            with closing(answer["Body"]) as events:
                for event in events:
                    yield event["PayloadPart"]["Bytes"]

    def begin(self, address: Address, question: str) -> tuple[str, str]:
        """Begin to answer the question at the `s3://` address; returns where to and, if not, why.

        Both are `s3://` addresses of objects that one will lie at.
        """
        with _refusals(address):
            told = self._client.invoke_endpoint_async(
                EndpointName=address.endpoint,
                InputLocation=question,
                ContentType="application/json",
            )
        return told["OutputLocation"], told.get("FailureLocation", "")


def _content(body: dict[str, object]) -> dict[str, object]:
    return {"Body": json.dumps(body).encode(), "ContentType": "application/json"}


@contextmanager
def _refusals(address: Address) -> Iterator[None]:
    with aws_errors("SageMaker's runtime"):
        try:
            yield
        except ClientError as error:
            if NO_CAPACITY in message_of(error):
                raise Asleep(
                    f"{address} has no copy that runs", why="it has scaled to zero"
                ) from None
            if code_of(error) == "ModelError":
                status = int(error.response.get("OriginalStatusCode", 500))
                said = str(error.response.get("OriginalMessage", message_of(error)))
                raise EngineRefused(
                    f"the container of {address} answered {status}: {said[:300]}",
                    status=status,
                    body=said.encode(),
                ) from error
            raise
