"""An operation of an HTTP API as a tool.

The request is made of the operation's description alone: the model fills in values, never
addresses, headers or methods. Values in the path are escaped whole, so none of them can leave its
segment. Answers are read to a bound; a redirect is followed only within the same origin.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx
import msgspec

from penstock.chat.call_context import current_call
from penstock.chat.tools.described import BODY, Operation, Place
from penstock.ground.errors import ToolError

_READ_BYTES = 1_048_576
_REDIRECTS = 3
_SHOWN_ERROR = 500
_PLAIN = {"accept": "application/json", "accept-encoding": "identity"}
_IDEMPOTENT = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Access:
    """Where an API is and how it is entered; `headers` may hold secrets."""

    client: httpx.AsyncClient = field(repr=False)
    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class HttpTool:
    """Satisfies `Tool`. The answer is the API's JSON, or its text."""

    def __init__(self, operation: Operation, access: Access) -> None:
        self._operation, self._access = operation, access
        self.name = operation.name
        self.idempotent = operation.method in _IDEMPOTENT
        self.definition: Mapping[str, object] = {
            "type": "function",
            "function": {
                "name": operation.name,
                "description": operation.description,
                "parameters": operation.parameters,
            },
        }

    async def call(self, arguments: Mapping[str, object]) -> object:
        """Send the request; raises `ToolError` for anything but a 2xx answer."""
        try:
            request = self._request(arguments)
        except httpx.InvalidURL as error:
            raise ToolError("the service's address cannot be used") from error
        try:
            return await self._fetch(request)
        except httpx.TimeoutException as error:
            raise ToolError("the service did not answer in time", transient=True) from error
        except httpx.HTTPError as error:
            raise ToolError("the service could not be reached", transient=True) from error

    def _request(self, arguments: Mapping[str, object]) -> httpx.Request:
        sorted_out: dict[Place, dict[str, object]] = {
            "path": {}, "query": {}, "header": {}, "body": {}
        }  # fmt: skip
        for name, value in arguments.items():
            place = self._operation.places.get(name)
            if place is not None:
                sorted_out[place][name] = value
        path = self._operation.path
        for name, value in sorted_out["path"].items():
            path = path.replace("{" + name + "}", _segment(value))
        headers = {name: _header(value) for name, value in sorted_out["header"].items()}
        body = sorted_out["body"]
        return self._access.client.build_request(
            self._operation.method,
            self._access.base_url.rstrip("/") + path,
            params=[pair for item in sorted_out["query"].items() for pair in _pairs(*item)],
            headers={
                **_PLAIN,
                **headers,
                **current_call().trace_headers,
                **self._access.headers,
            },
            json=body.get(BODY, body) if body else None,
        )

    async def _fetch(self, request: httpx.Request) -> object:
        for _ in range(_REDIRECTS + 1):
            response = await self._access.client.send(request, stream=True, follow_redirects=False)
            try:
                following = response.next_request
                if not response.has_redirect_location or following is None:
                    return _result(response, await _read(response))
            finally:
                await response.aclose()
            if _origin(following.url) != _origin(request.url):
                raise ToolError("the service sends elsewhere, which is not followed")
            following.headers.update(self._access.headers)
            request = following
        raise ToolError("the service redirects too often")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _segment(value: object) -> str:
    text = quote(_text(value), safe="")
    if not text.strip("."):
        raise ToolError("a value of the address may not be empty or dots alone")
    return text


def _header(value: object) -> str:
    text = _text(value)
    if not text.isprintable() or not text.isascii():
        raise ToolError("a value of a header must be printable ASCII")
    return text


def _pairs(name: str, value: object) -> list[tuple[str, str]]:
    values = value if isinstance(value, list | tuple) else (value,)
    return [(name, _text(each)) for each in values if each is not None]


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


async def _read(response: httpx.Response) -> bytes:
    # What was packed unasked could unpack to any size.
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ToolError("the service's answer is packed, which was not asked for")
    parts, size = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > _READ_BYTES:
            raise ToolError(f"the service's answer is larger than {_READ_BYTES} bytes")
    return b"".join(parts)


def _result(response: httpx.Response, body: bytes) -> object:
    if not response.is_success:
        shown = body[:_SHOWN_ERROR].decode(errors="replace")
        raise ToolError(
            f"the service answered {response.status_code}",
            why=shown,
            transient=response.status_code in (429, 502, 503, 504),
        )
    if not body:
        return {"status": response.status_code}
    try:
        parsed: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        if kind.startswith("text/") or not kind:
            return {"text": body.decode(errors="replace")}
        raise ToolError(f"the service answered with {kind}, which cannot be read") from None
    return parsed
