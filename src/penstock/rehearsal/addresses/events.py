"""Lambda's proxy integration: a request becomes an event, what a handler returns an answer."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request

from penstock.rehearsal.cloud import unique
from penstock.rehearsal.service import Answer


class Malformed(Exception):
    """A handler returned what is no answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of an API: its stage, the resource that matches, the path's variables."""

    api: str
    stage: str
    path: str
    resource: str
    variables: dict[str, str]
    key: str = ""


def event(asked: Asked, request: Request) -> dict[str, Any]:
    """Return the event of a request, as REST APIs hand it to Lambda."""
    body = request.get_data()
    try:
        text, coded = body.decode(), False
    except UnicodeDecodeError:
        text, coded = base64.b64encode(body).decode(), True
    queries = {name: request.args.getlist(name) for name in request.args}
    return {
        "resource": asked.resource,
        "path": asked.path,
        "httpMethod": request.method,
        "headers": dict(request.headers.items()),
        "multiValueHeaders": {name: [value] for name, value in request.headers.items()},
        "queryStringParameters": {name: each[-1] for name, each in queries.items()} or None,
        "multiValueQueryStringParameters": queries or None,
        "pathParameters": asked.variables or None,
        "stageVariables": None,
        "body": text or None,
        "isBase64Encoded": coded,
        "requestContext": {
            "apiId": asked.api,
            "stage": asked.stage,
            "requestId": unique(32),
            "resourcePath": asked.resource,
            "httpMethod": request.method,
            "path": f"/{asked.stage}{asked.path}",
            "identity": {"apiKey": asked.key or None, "sourceIp": request.remote_addr},
        },
    }


def answer(returned: bytes) -> Answer:
    """Return what a handler's JSON says; raises Malformed."""
    try:
        said = json.loads(returned)
        status = int(said["statusCode"])
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed(str(error)) from error
    headers = {str(k): str(v) for k, v in (said.get("headers") or {}).items()}
    for name, values in (said.get("multiValueHeaders") or {}).items():
        headers[name] = ", ".join(str(each) for each in values)
    body = said.get("body") or ""
    if not isinstance(body, str):
        raise Malformed("body is no string")
    whole = base64.b64decode(body) if said.get("isBase64Encoded") else body.encode()
    return Answer(status, {"Content-Type": "application/json", **headers}, whole)
