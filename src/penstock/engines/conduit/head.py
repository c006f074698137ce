"""Reads the heads of an engine's answers."""

import httptools

from penstock.engines.conduit.same_head import SameHead
from penstock.engines.conduit.sink import Head
from penstock.ground.errors import EngineDied

_MAX_HEAD = 65_536


class HeadReader:
    """Reads one response head after the other with llhttp, and keeps what matters."""

    __slots__ = ("_buffer", "_content_type", "_same", "chunked", "head", "keep_alive", "length")

    def __init__(self) -> None:
        self._buffer = self._content_type = b""
        self._same: SameHead | None = None  # what a head must look like to mean the same again
        self.head = Head(0, b"")
        self.length: int | None = None
        self.chunked = False
        self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header."""
        name = name.lower()
        if name == b"content-type":
            self._content_type = value
        elif name == b"content-length":
            self.length = int(value)
        elif name == b"transfer-encoding":
            self.chunked = value.lower().rstrip().endswith(b"chunked")
        elif name == b"connection":
            self.keep_alive = b"close" not in value.lower()

    def feed(self, data: bytes) -> bytes | None:
        """Return the body bytes behind the head, or none while it is not complete.

        Raises:
            EngineDied: it is not an HTTP response.
        """
        same = self._same
        if same is not None and not self._buffer and (end := same.end_in(data)):
            self.length = same.length
            return data[end:]
        data = self._buffer + data if self._buffer else data
        while True:
            end = data.find(b"\r\n\r\n", 0, _MAX_HEAD)
            if end < 0:
                if len(data) >= _MAX_HEAD:
                    raise EngineDied("the engine's answer has no end of head in 64 KiB")
                self._buffer = data
                return None
            self._read(data[: end + 4])
            data = data[end + 4 :]
            if self.head.status >= 200:
                self._buffer = b""
                return data
            # An interim answer: the real one follows.

    def _read(self, head: bytes) -> None:
        self._content_type, self.length, self.chunked = b"", None, False
        self.keep_alive = True
        self._same = None
        parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, ValueError) as error:
            raise EngineDied("the engine's answer is not HTTP", why=str(error)) from None
        status = parser.get_status_code()
        self.head = Head(status, self._content_type)
        if status in (204, 304):
            self.length, self.chunked = 0, False
        framed = self.chunked or self.length is not None
        # llhttp's own verdict is lost once the message is complete, as it is without a body.
        self.keep_alive &= framed and parser.get_http_version() == "1.1"
        if status == 200 and self.keep_alive:
            same = SameHead(head)
            self._same = same if same.length == self.length else None  # else oddly written
