"""What stands between the server's connection and whoever answers on it."""

from typing import Protocol

from penstock.gateway.faults import Fault


class Client(Protocol):
    """The client's side of one request, as an answer sees it."""

    request_id: bytes
    headers: list[tuple[bytes, bytes]]
    """The request's header lines, names in lower case."""
    claimed_tenant: bytes | None
    """The tenant that the request names by itself; it must agree with the key."""
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
