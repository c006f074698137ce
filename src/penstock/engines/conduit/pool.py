"""The pooled streaming client to one engine.

It is built for a proxy: no task per request, no queue between the engine's socket and the
client's. A request is written to an idle connection at once; its response comes back through the
callbacks of a `Sink`. What is given up: redirects, proxies, cookies, HTTP/2; engines need none of
them.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

from penstock.engines.conduit.connection import Connection, Exchange
from penstock.engines.conduit.sink import Sink
from penstock.ground.errors import EngineError, EngineUnavailable, UserError

_IDLE_MAX = 512
_CONNECT_TIMEOUT_S = 5.0


class Pool:
    """Keep-alive connections to one engine, and how much work is out on them."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, name: str = "") -> None:
        """`url` is `http(s)://host[:port][/base]`; `headers` go with every request.

        `name` stands in errors, which clients are shown, in place of the address.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                f"{url!r} is not the address of an engine", fix="Write http://host:port."
            )
        self.name = name or url
        self._host = parts.hostname
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._base = parts.path.rstrip("/").encode()
        self._authority = parts.netloc.rpartition("@")[2]
        self.use_headers(headers or {})
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()  # the idle ones and those that are out
        self._connecting: set[asyncio.Task[None]] = set()
        self.outstanding = 0
        """Requests that are out; what `get` fetches is no work of the engine."""

    def use_headers(self, headers: Mapping[str, str]) -> None:
        """Send these with every request from now on, in place of those before."""
        fixed = {"host": self._authority, **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
        self._head_end = f" HTTP/1.1\r\n{lines}content-type: application/json\r\n".encode(
            "latin-1"
        )

    def post(
        self, path: bytes, body: bytes, sink: Sink, request_id: bytes, more: bytes = b""
    ) -> Exchange:
        """Send `body` (JSON) to `path`; the response goes to `sink`. Returns the handle.

        `more` are further header lines, each with its end.
        """
        request = b"POST %b%b%bcontent-length: %d\r\nx-request-id: %b\r\n%b\r\n%b" % (
            self._base,
            path,
            self._head_end,
            len(body),
            request_id,
            more,
            body,
        )
        self.outstanding += 1
        return self._start(Exchange(request, sink, 1))

    def get(self, path: bytes, sink: Sink) -> Exchange:
        """Fetch `path`; the response goes to `sink`. It is no work, so it is not `outstanding`."""
        request = b"GET %b%b%b\r\n" % (self._base, path, self._head_end)
        return self._start(Exchange(request, sink, 0))

    def _start(self, exchange: Exchange) -> Exchange:
        exchange.on_finished = self._on_finished
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                exchange.connection = connection
                connection.send(exchange.request, exchange)
                return exchange
        self._connect(exchange)
        return exchange

    def _connect(self, exchange: Exchange) -> None:
        task = asyncio.get_running_loop().create_task(self._connect_and_send(exchange))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect_and_send(self, exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    lambda: Connection(self.name, self._open),
                    self._host,
                    self._port,
                    ssl=self._tls,
                )
        except (OSError, TimeoutError, ValueError) as error:  # ValueError: not a host's name
            why = str(error) or "no answer to the connection attempt"
            lost = EngineUnavailable(f"no engine answers at {self.name}", why=why)
            self._on_finished(exchange, None, lost)
            return
        if exchange.finished:  # cancelled while it was connecting
            self._keep(connection)
            return
        exchange.connection = connection
        connection.send(exchange.request, exchange)

    def _on_finished(
        self, exchange: Exchange, connection: Connection | None, error: EngineError | None
    ) -> None:
        if exchange.finished:
            return
        used = exchange.connection
        if error is not None and not exchange.answered and used is not None and used.was_idle:
            # The engine closed an idle connection just as the request was written to it.
            exchange.connection = None
            self._connect(exchange)
            return
        self.outstanding -= exchange.weight
        if connection is not None:
            self._keep(connection)
        sink = exchange.release()
        if error is None:
            sink.on_end()
        else:
            sink.on_lost(error)

    def _keep(self, connection: Connection) -> None:
        if len(self._idle) < _IDLE_MAX:
            connection.was_idle = True
            self._idle.append(connection)
        else:
            connection.abort()

    def cancel(self, exchange: Exchange) -> None:
        """The client has left: close the connection so that the engine stops computing."""
        if exchange.finished:
            return
        self.outstanding -= exchange.weight
        connection = exchange.connection
        exchange.release()
        if connection is not None:
            connection.abort()

    async def close(self) -> None:
        """Close every connection, also one whose answer is still to come, and stop connecting.

        Nobody is told of answers that do not come any more: who closes waits for none.
        """
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in tuple(self._open):
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # asyncio closes an aborted socket one turn of its loop later
