"""The server's side of a connection: uvicorn's protocol with a short way for the hot routes.

uvicorn (on llhttp) reads HTTP/1.1 and serves the ASGI app with everything that is not hot. The
hot routes skip ASGI: no scope, no task, no queue a request; the answer is written by the engine's
callbacks. What uvicorn leaves open for clients on the internet is closed here: limits on head and
body, and on the time a client may take to send them. A client that pipelines gets its first
answer and then a closed connection, as HTTP allows: nobody does it, and it is where smuggling
lives.
"""

import asyncio
import logging
from collections.abc import Callable

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from penstock.engines.conduit.same_head import SameHead
from penstock.gateway.answer import JSON, Answer, Doors
from penstock.gateway.cache_header import NAME as CACHE
from penstock.gateway.faults import Fault, fault_of, plain_fault
from penstock.gateway.request_ids import new_request_id
from penstock.gateway.settings import Settings
from penstock.ground.errors import PenstockError

log = logging.getLogger("penstock.gateway")

_CHUNKED = b"transfer-encoding: chunked\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
_HIGH_WATER = 1 << 20
"""Bytes a slow client may leave unread before its engine is paused. A burst is read 256 KiB at a
time, and below that every burst would stop and start the engine's connection."""
_ASKER = (b"authorization", b"x-api-key", b"x-tenant-id")
_NOTED = frozenset((*_ASKER, CACHE, b"expect", b"upgrade", b"transfer-encoding"))
_BODY = (b"content-length", b"transfer-encoding")
_LINGER_S = 3.0
"""How long a refused client may go on sending: hanging up at once would destroy our answer."""


class Doorway(HttpToolsProtocol):
    """One client connection. Satisfies `answer.Client` while a hot request is answered."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        doors: Doors,
        settings: Settings,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._hot_paths, self._begin, self._refused, self._uploads = doors
        self._settings = self._usual_settings = settings
        self._answer: Answer | None = None
        self._hot = False
        self._deaf = False  # the connection will close; what still comes in is not read
        self._keep_alive = True
        self._body: list[bytes] = []
        self._body_size = 0
        self._head_size = 0  # bytes that have come without being any of a body
        self._in_head = self._usual = True
        self._between = True  # the parser has seen whole requests only
        self._read = b""  # what came while it was between two
        self._same: SameHead | None = None  # head of the last request, where that was a usual one
        self._since_s = self.loop.time()
        self._waits_for = "request"  # what `_since_s` counts: request, rest, answer, goodbye
        self._unsent = 0  # bytes the client had not taken at the last sweep
        self.request_id = self._path = b""
        # Who asks: `Authorization: Bearer` wins over `x-api-key`.
        self._bearer: bytes | None = None
        self._key: bytes | None = None
        self.claimed_tenant: bytes | None = None
        self.tells_cache = False
        self.headers_out, self.takes_chunks = b"", True
        self.write: Callable[[bytes], None]
        """Write to the client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio: a client is here."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        self.write = transport.write

    @property
    def address(self) -> bytes:
        """Where the client connects from."""
        return f"{self.client[0]}".encode() if self.client else b""

    # Reading

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes from the client."""
        if self._deaf:
            return
        same = self._same
        if (
            same is not None
            and (end := same.end_in(data))
            and same.length == len(data) - end <= self._settings.max_body_bytes
            and self._waits_for == "request"
            and not self.flow.write_paused
        ):
            # All that was noted of the request before holds for this one too.
            self._answer_hot(data[end:])
            return
        self._head_size += len(data)
        self._read = data if self._between else b""
        super().data_received(data)
        self._read = b""
        if self._head_size > self._settings.max_header_bytes and not self._deaf:
            self._refuse(431, "the request's head is too large", "header_too_large")

    def on_message_begin(self) -> None:
        """llhttp: the first byte of a request."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._bearer = self._key = self.claimed_tenant = self._same = None
        self._between, self._usual, self.tells_cache = False, True, False
        if self._waits_for == "request":
            self._waits_for, self._since_s = "rest", self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: one header. A trailer comes this way too, and is not believed."""
        if self._in_head:
            name = name.lower()
            self.headers.append((name, value))
            if name in _NOTED:
                self._note(name, value)

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"authorization":
            if self._bearer is None:
                scheme, _, secret = value.partition(b" ")
                self._bearer = secret.strip() if scheme.lower() == b"bearer" else b"?"
        elif name == b"x-api-key":
            self._key = value.strip()
        elif name == b"x-tenant-id":
            self.claimed_tenant = value.strip()
        elif name == CACHE:
            self.tells_cache = True
        else:
            self._usual = False
            if name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """llhttp: the head is complete; choose the short way or ASGI."""
        self._in_head, received, self._head_size = False, self._head_size, 0
        if self._deaf:
            return
        if self._waits_for == "answer" or self.flow.write_paused:
            self._close_after_this()
            return
        limit = self._settings.max_header_bytes
        sizes = (len(name) + len(value) + 4 for name, value in self.headers)
        if received > limit and len(self.url) + sum(sizes) > limit:
            self._refuse(431, "the request's head is too large", "header_too_large")
            return
        path = self._path = self.url.partition(b"?")[0]
        self._hot = path in self._hot_paths and self.parser.get_method() == b"POST"
        if self.parser.should_upgrade():
            self._pass_over_upgrade()
        elif self._hot:
            self._begin_hot()
        else:
            self._begin_cold()

    def _pass_over_upgrade(self) -> None:
        """Answer as if it were no upgrade, and hang up: llhttp stops reading behind this head.

        So a body cannot be told from another request, and what has one is refused.
        """
        if self._hot or any(name in _BODY for name, _ in self.headers):
            self._refuse(400, "this server upgrades no connection", "upgrade_not_supported")
            return
        self._begin_cold()
        self.cycle.keep_alive = False

    def _begin_hot(self) -> None:
        version = self.parser.get_http_version()
        self.takes_chunks = version == "1.1"
        self._keep_alive = self.takes_chunks and self.parser.should_keep_alive()
        self._body, self._body_size = [], 0
        if self.expect_100_continue and not self._is_declared_too_large():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _is_declared_too_large(self) -> bool:
        length = int(dict(self.headers).get(b"content-length", 0))
        limit = self._settings.max_body_bytes
        if length > limit:
            self._refuse(413, f"the body is larger than {limit} bytes", "body_too_large")
        return length > limit

    def _begin_cold(self) -> None:
        if self._uploads is not None and self._path in self._uploads[0]:
            self._settings = self._uploads[1]  # until its last byte has come
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        self._body_size = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """llhttp: a piece of the body."""
        if self._deaf:
            return
        self._head_size = 0
        self._body_size += len(body)
        if self._body_size > self._settings.max_body_bytes:
            limit = self._settings.max_body_bytes
            self._refuse(413, f"the body is larger than {limit} bytes", "body_too_large")
        elif self._hot:
            self._body.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """llhttp: the request is complete."""
        self._in_head, self._between, self._head_size = True, True, 0
        if self._deaf:
            return
        if not self._hot:
            self._settings = self._usual_settings
            self._waits_for, self._since_s = "answer", self.loop.time()
            super().on_message_complete()
            if self.cycle.response_complete:  # it did not wait for the body
                self._waits_for = "request"
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        if self._usual and self._keep_alive:
            self._remember(len(body))
        self._answer_hot(body)

    def _remember(self, body_size: int) -> None:
        """Keep the head of this request, if it came in one piece with its body and no more."""
        data = self._read
        size = data.find(b"\r\n\r\n") + 4
        if len(data) == size + body_size:
            same = SameHead(data[:size])
            self._same = same if same.length == body_size else None

    def _answer_hot(self, body: bytes) -> None:
        self._waits_for, self._since_s = "answer", self.loop.time()
        self.request_id, self.headers_out = new_request_id(), b""
        try:
            key = self._key if self._bearer is None else self._bearer
            self._answer = self._begin(self, self._path, key, body)
        except Exception as error:
            if not isinstance(error, PenstockError):
                log.exception("request %s failed", self.request_id.decode())
            self.fail(fault_of(error))

    def _close_after_this(self) -> None:
        """Finish what is being answered, and hang up; what still comes in is read and dropped."""
        self._deaf, self._keep_alive = True, False
        if self._is_cold_open():
            self.cycle.keep_alive = False
        elif self._answer is None:
            self._hang_up()

    def _is_cold_open(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, message: str, code: str) -> None:
        """Answer a request that cannot be read to its end, and hang up."""
        cycle, cold = self.cycle, self._is_cold_open()
        answered = self._waits_for == "request" and not self._in_head
        if answered or self._waits_for == "answer" or (cold and cycle.response_started):
            self._close_after_this()
            return
        self._deaf, self._keep_alive = True, False
        self._refused(status)
        if cold:
            cycle.disconnected = True
            cycle.message_event.set()
        if not self.transport.is_closing():
            self.request_id = new_request_id()
            self.transport.write(self._fault_bytes(plain_fault(status, message, code)))
        self._hang_up()

    def _hang_up(self) -> None:
        """Close our side; the client's side is closed by the client, or by `sweep`."""
        self._waits_for, self._since_s = "goodbye", self.loop.time()
        if not self.transport.is_closing():
            self.transport.write_eof()

    def send_400_response(self, msg: str) -> None:
        """uvicorn: the parser gave up; say so in OpenAI's shape."""
        self._refuse(400, f"this is not valid HTTP: {msg}", "invalid_http")

    # Writing: `answer.Client`

    def head(self, status: int, content_type: bytes, length: int | None) -> bytes:
        """Return a response head; see `answer.Client`."""
        if length is not None:
            framing = b"content-length: %d\r\n" % length
        else:
            framing = _CHUNKED if self.takes_chunks else b"cache-control: no-cache\r\n"
        date = self.server_state.default_headers
        return b"%b%bcontent-type: %b\r\n%bx-request-id: %b\r\n%b%b\r\n" % (
            STATUS_LINE[status],
            b"%b: %b\r\n" % date[0] if date else b"",
            content_type,
            framing,
            self.request_id,
            self.headers_out,
            b"" if self._keep_alive else b"connection: close\r\n",
        )

    def renew(self) -> None:
        """Give the answer its whole time again."""
        if self._waits_for == "answer":
            self._since_s = self.loop.time()

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""
        await self.flow.drain()

    def finish(self) -> None:
        """The hot response is complete; wait for the next request or hang up."""
        self._answer = None
        self.server_state.total_requests += 1
        self._waits_for, self._since_s = "request", self.loop.time()
        if self._deaf:
            self._hang_up()
        elif not self._keep_alive:
            self.transport.close()

    def fail(self, fault: Fault) -> None:
        """Send an error as the whole response."""
        self.transport.write(self._fault_bytes(fault))
        self.finish()

    def _fault_bytes(self, fault: Fault) -> bytes:
        head = self.head(fault.status, JSON, len(fault.body))
        extra = b"".join(b"%b: %b\r\n" % header for header in fault.headers)
        return head[:-2] + extra + b"\r\n" + fault.body

    # The connection

    def pause_writing(self) -> None:
        """asyncio: the client reads slowly."""
        super().pause_writing()
        if self._answer is not None:
            self._answer.pause()

    def resume_writing(self) -> None:
        """asyncio: the client has caught up."""
        super().resume_writing()
        if self._answer is not None:
            self._answer.resume()

    def on_response_complete(self) -> None:
        """uvicorn: a cold response is complete."""
        super().on_response_complete()
        if self._waits_for != "goodbye":
            self._waits_for, self._since_s = "request", self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the client is gone."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """uvicorn: the server stops; finish what is being answered, then hang up."""
        if self._answer is None:
            super().shutdown()
        self._keep_alive = False

    def sweep(self, now_s: float, stood_s: float) -> None:
        """End what has taken too long, but for the `stood_s` in which this process stood still."""
        self._since_s += stood_s
        waited_s, settings = now_s - self._since_s, self._settings
        if self._waits_for == "rest":
            if waited_s > settings.body_timeout_s:
                self._refuse(408, "the request took too long to arrive", "request_timeout")
        elif self._waits_for == "answer":
            if waited_s > settings.request_timeout_s:
                self.expire()
        elif self._client_takes_more():
            self._since_s = now_s
        elif waited_s > (_LINGER_S if self._waits_for == "goodbye" else settings.keep_alive_s):
            self.transport.abort()

    def expire(self) -> None:
        """End the answer under way, if there is one, with an error."""
        if self._answer is not None:
            self._answer.expire()

    def _client_takes_more(self) -> bool:
        """Whether the client has read on since the last sweep, of an answer that is complete."""
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        return 0 < self._unsent < before
