"""What stands between the server's connection and whoever answers on it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from penstock.gateway.faults import Fault
from penstock.gateway.settings import Settings


class Client(Protocol):
    """The client's side of one request, as an answer sees it."""

    request_id: bytes
    headers: list[tuple[bytes, bytes]]
    """The request's header lines, names in lower case."""
    claimed_tenant: bytes | None
    """The tenant that the request names by itself; it must agree with the key."""
    tells_cache: bool
    """Whether the request says itself what it wants of the response cache."""
    headers_out: bytes
    """Further header lines of the response, each with its end."""

    @property
    def address(self) -> bytes:
        """Where it connects from: of the last proxy, if there is one."""

    @property
    def takes_chunks(self) -> bool:
        """Whether the client understands chunked framing (HTTP/1.1)."""

    def head(self, status: int, content_type: bytes, length: int | None) -> bytes:
        """Return the response head; `length` none means a stream."""

    def write(self, data: bytes) -> None:
        """Write to the client, framing included."""

    def renew(self) -> None:
        """Give the answer its whole time again: it could not begin until now."""

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""

    def finish(self) -> None:
        """The response is complete."""

    def fail(self, fault: Fault) -> None:
        """Send `fault` as the whole response; nothing may have been written before."""


class Answer(Protocol):
    """A request being answered; the connection holds on to it."""

    def cancel(self) -> None:
        """The client has left; stop everything done for it."""

    def expire(self) -> None:
        """The request has taken too long; tell the client and stop."""

    def pause(self) -> None:
        """The client reads slowly; stop writing."""

    def resume(self) -> None:
        """The client has caught up."""


LAST_CHUNK = b"0\r\n\r\n"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
JSON = b"application/json"


Begin = Callable[[Client, bytes, bytes | None, bytes], Answer]


class Doors(NamedTuple):
    """What stands behind the connections.

    `begin(client, path, key, body)` starts an answer on one of `hot_paths`, and raises
    PenstockError to refuse; `refused(status)` counts a request that cannot be read to its end.
    `uploads` are paths whose bodies are longer, and what holds for them in place of the settings.
    """

    hot_paths: frozenset[bytes]
    begin: Begin
    refused: Callable[[int], None]
    uploads: tuple[frozenset[bytes], Settings] | None = None
