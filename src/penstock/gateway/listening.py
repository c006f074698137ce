"""A client that keeps what it is sent, for whoever reads it afterwards."""

from penstock.gateway.answer import Client
from penstock.gateway.faults import Fault


class Listener:
    """Stands between an answer and its client, and satisfies `answer.Client`.

    `sent` holds the bytes that went to the client, head and framing included, without copying
    them; beyond `max_bytes` nothing more is kept, and `cut` says so.
    """

    def __init__(self, client: Client, max_bytes: int) -> None:
        self._client, self._left = client, max_bytes
        self.sent: list[bytes] = []
        self.cut = False
        self.request_id, self.claimed_tenant = client.request_id, client.claimed_tenant
        self.headers, self.tells_cache = client.headers, client.tells_cache
        self.takes_chunks = client.takes_chunks
        self.address = client.address

    @property
    def headers_out(self) -> bytes:
        """Client: further header lines."""
        return self._client.headers_out

    @headers_out.setter
    def headers_out(self, lines: bytes) -> None:
        self._client.headers_out = lines

    def head(self, status: int, content_type: bytes, length: int | None) -> bytes:
        """Client: the response head."""
        return self._client.head(status, content_type, length)

    def write(self, data: bytes) -> None:
        """Client: write; it is kept before the client has it."""
        self.keep(data)
        self._client.write(data)

    def keep(self, data: bytes) -> None:
        """Keep what is about to be sent."""
        if self.cut:
            return
        self._left -= len(data)
        if self._left >= 0:
            self.sent.append(data)
        else:
            self.sent.append(data[: self._left])
            self.cut = True

    def renew(self) -> None:
        """Client: its whole time again."""
        self._client.renew()

    async def drain(self) -> None:
        """Client: wait until most was taken."""
        await self._client.drain()

    def finish(self) -> None:
        """Client: the response is complete."""
        self._client.finish()

    def fail(self, fault: Fault) -> None:
        """Client: an error is the whole response."""
        self._client.fail(fault)
