"""One AWS service that the stand-in answers itself: the wire on one side, methods on the other.

botocore's service model says how a request is read and an answer written (moto's parsers and
serializers do it), so that a service here is an object whose methods are named as boto3's: each
takes the request's parameters and returns the answer's.
"""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from botocore import xform_name
from botocore.exceptions import ClientError
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.wrappers import Request

from penstock.rehearsal.constraints import check
from penstock.rehearsal.refusals import AwsError


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `body` may be an iterable that is sent as it comes."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Iterable[bytes]


class Service:
    """The wire of the service that botocore calls `name`; `operations` has its methods."""

    def __init__(self, name: str, operations: object) -> None:
        self.name, self._operations = name, operations
        self._model = get_service_model(name)
        spoken = self._model.metadata.get("protocols", [self._model.protocol])
        self._protocols: list[str] = [each for each in spoken if each in PROTOCOL_PARSERS]

    def operation(self, request: Request) -> str:
        """Return the name of what is asked for, such as `CreateEndpoint`; empty if unknown."""
        target = request.headers.get("X-Amz-Target", "")
        return target.rpartition(".")[2] or request.values.get("Action", "")

    def has(self, operation: str) -> bool:
        """Whether this service answers the operation itself."""
        return callable(getattr(self._operations, xform_name(operation), None))

    def answer(self, request: Request) -> Answer:
        """Carry out what the request asks for."""
        name = self.operation(request)
        try:
            return self._carry_out(name, request)
        except AwsError as error:
            return self.refusal(error, request)
        except ClientError as error:  # of another service, asked on behalf of this one
            said = error.response["Error"]
            told = AwsError("ValidationError", f"{said['Code']}: {said['Message']}")
            return self.refusal(told, request)

    def refusal(self, error: AwsError, request: Request) -> Answer:
        """Write an error in the protocol of the request."""
        return refusal_in(self._protocol(request), error)

    def _protocol(self, request: Request) -> str:
        """Return how the client speaks: a service may understand both."""
        if "query" in self._protocols and "X-Amz-Target" not in request.headers:
            return "query"
        return self._protocols[0]

    def _carry_out(self, name: str, request: Request) -> Answer:
        method = getattr(self._operations, xform_name(name), None)
        if method is None:
            raise AwsError(
                "InvalidAction", f"The stand-in for AWS has no {self.name}:{name}", status=501
            )
        model, protocol = self._model.operation_model(name), self._protocol(request)
        parameters = PROTOCOL_PARSERS[protocol](model).parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.get_data(),
                "url_path": request.path,
                "url_params": {},
            }
        )
        check(parameters, model.input_shape)
        written = get_serializer_class(self.name, protocol)(model).serialize(
            method(parameters) or {}
        )
        body = written["body"]
        return Answer(
            written["status_code"],
            {str(key): str(value) for key, value in written["headers"].items()},
            body if isinstance(body, bytes) else body.encode(),
        )


def protocol_of(service: str, request: Request) -> str:
    """Return how a client speaks to a service that is known by botocore's name."""
    model = get_service_model(service)
    spoken = model.metadata.get("protocols", [model.protocol])
    if "query" in spoken and "X-Amz-Target" not in request.headers:
        return "query"
    return next(str(each) for each in spoken if each in PROTOCOL_PARSERS)


def refusal_in(protocol: str, error: AwsError) -> Answer:
    """Write an error as a protocol does."""
    told = f"<Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
    bodies = {
        "query": "<ErrorResponse><Error><Type>Sender</Type>{}</Error><RequestId>{}</RequestId>"
        "</ErrorResponse>",
        "ec2": "<Response><Errors><Error>{}</Error></Errors><RequestID>{}</RequestID></Response>",
        "rest-xml": "<Error>{}<RequestId>{}</RequestId></Error>",
    }
    if protocol not in bodies:
        return json_refusal(error)
    body = bodies[protocol].format(told, uuid.uuid4())
    return Answer(error.status, {"Content-Type": "text/xml"}, body.encode())


def json_refusal(error: AwsError, **headers: str) -> Answer:
    """Write an error as JSON services do: in the body and in `x-amzn-ErrorType`."""
    body: dict[str, Any] = {"__type": error.code, "message": error.message}
    return Answer(
        error.status,
        {
            "Content-Type": "application/x-amz-json-1.1",
            "x-amzn-ErrorType": error.code,
            "x-amzn-RequestId": str(uuid.uuid4()),
            **headers,
        },
        json.dumps(body).encode(),
    )
