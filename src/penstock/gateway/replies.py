"""What the routes that are not hot have in common: reading a key, answering in JSON."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from penstock.gateway.answer import JSON
from penstock.gateway.faults import Fault

T = TypeVar("T")


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


def add_lines(reply: Response, lines: bytes) -> None:
    """Add header lines, each with its end, as the hot routes write them."""
    for line in lines.splitlines():
        name, _, value = line.decode().partition(": ")
        reply.headers[name] = value


def claimed_tenant(request: Request) -> bytes | None:
    """Return the tenant that a request names by itself."""
    named = request.headers.get("x-tenant-id")
    return named.strip().encode("latin-1") if named is not None else None


async def while_connected(request: Request, work: Coroutine[object, object, T]) -> T:
    """Return the result of `work`, which is cancelled when the client leaves."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_departure(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
