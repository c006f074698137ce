"""One line of a batch as the client of a request: the gateway answers it as any other."""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from penstock.gateway.answer import Answer, Client
from penstock.gateway.faults import Fault, fault_of
from penstock.ground.errors import PenstockError

log = logging.getLogger("penstock.gateway")


class Reply(NamedTuple):
    """What a line was answered; `after_s` says when to come back, where it was told so."""

    status: int
    body: bytes
    after_s: float = 0.0


class LineClient:
    """Satisfies `answer.Client`; `asked` waits for the whole answer."""

    claimed_tenant: bytes | None = None
    tells_cache = False
    address = b""
    takes_chunks = False

    def __init__(self, request_id: bytes, timeout_s: float) -> None:
        self.request_id, self._timeout_s = request_id, timeout_s
        self.headers: list[tuple[bytes, bytes]] = []
        self.headers_out = b""
        self._status = 0
        self._written: list[bytes] = []
        self._answer: Answer | None = None
        self._loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[Reply] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None

    async def asked(self, begin: Callable[[Client], Answer]) -> Reply:
        """Begin, and return the answer; whoever is cancelled here leaves as a client does."""
        self.renew()
        try:
            try:
                self._answer = begin(self)
            except Exception as error:
                if not isinstance(error, PenstockError):
                    log.exception("request %s failed", self.request_id.decode())
                self.fail(fault_of(error))
            return await self._reply
        except asyncio.CancelledError:
            if self._answer is not None:
                self._answer.cancel()
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._answer = None

    def head(self, status: int, content_type: bytes, length: int | None) -> bytes:
        """Client: the status is known; nobody reads a head."""
        self._status = status
        return b""

    def write(self, data: bytes) -> None:
        """Client: keep it."""
        self._written.append(data)

    def renew(self) -> None:
        """Client: the time begins anew."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._timeout_s, self._expire)

    def _expire(self) -> None:
        if self._answer is not None:
            self._answer.expire()

    async def drain(self) -> None:
        """Client: it is all taken."""

    def finish(self) -> None:
        """Client: the answer is whole."""
        self._end(Reply(self._status, b"".join(self._written)))

    def fail(self, fault: Fault) -> None:
        """Client: an error is the whole answer."""
        after = dict(fault.headers).get(b"retry-after", b"0")
        self._end(Reply(fault.status, fault.body, float(after)))

    def _end(self, reply: Reply) -> None:
        if not self._reply.done():
            self._reply.set_result(reply)
