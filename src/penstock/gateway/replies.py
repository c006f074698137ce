"""What the routes that are not hot have in common: reading a key, answering in JSON."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.gateway.answer import JSON
from penstock.gateway.faults import Fault


def secret_in(request: Request) -> bytes | None:
    """Return the API key of a request."""
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, secret = header.partition(" ")
        return secret.strip().encode("latin-1") if scheme.lower() == "bearer" else b"?"
    key = request.headers.get("x-api-key")
    return key.strip().encode("latin-1") if key is not None else None


def json_reply(content: object, status: int = 200) -> Response:
    """Return an answer in JSON."""
    return Response(msgspec.json.encode(content), status, media_type=JSON.decode())


def fault_reply(fault: Fault) -> Response:
    """Return an error as an answer."""
    headers = {name.decode(): value.decode() for name, value in fault.headers}
    return Response(fault.body, fault.status, headers, media_type=JSON.decode())


def claimed_tenant(request: Request) -> bytes | None:
    """Return the tenant that a request names by itself."""
    named = request.headers.get("x-tenant-id")
    return named.strip().encode("latin-1") if named is not None else None
