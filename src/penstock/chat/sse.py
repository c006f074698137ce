"""Server-sent events, read from bytes that are cut anywhere, and written.

Only `data` matters to chat; event names, ids, retry hints and comments are dropped. Lines may end
in LF, CRLF or CR, and an event may have several data lines. All work is on bytes, so a cut in the
middle of a UTF-8 character or between CR and LF changes nothing.
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from penstock.chat.ports import ByteStream
from penstock.ground.errors import EngineDied

DONE = b"data: [DONE]\n\n"
"""The last event of an OpenAI stream, framed."""

_DONE = b"[DONE]"
_MAX_EVENT_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class Splitter:
    """Cuts a stream of bytes into the data of its events."""

    __slots__ = ("_after_cr", "_at_start", "_data", "_size", "_tail")

    def __init__(self) -> None:
        self._tail = b""
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that `piece` completes.

        Raises:
            EngineDied: an event grows beyond 16 MiB.
        """
        if self._tail or self._data or self._after_cr:
            return self._feed_lines(piece)
        # As engines write it: one LF-ended data line an event, and only whole events.
        if piece.startswith(b"data: ") and piece.endswith(b"\n\n"):
            events = piece[6:-2].split(b"\n\ndata: ")
            if piece.count(b"\n") == 2 * len(events) and b"\r" not in piece:
                self._at_start = False
                return events
        return self._feed_lines(piece)

    def _feed_lines(self, piece: bytes) -> list[bytes]:
        if self._after_cr and piece:
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        if not piece:
            return []
        lines = (self._tail + piece).splitlines(keepends=True)
        self._tail = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        self._after_cr = piece.endswith(b"\r")
        if len(self._tail) + self._size > _MAX_EVENT_BYTES:
            raise EngineDied("the engine sent an event of more than 16 MiB")
        return [data for line in lines if (data := self._take(line.rstrip(b"\r\n"))) is not None]

    def finish(self) -> list[bytes]:
        """Return what is left at the end of the stream: servers may omit the last blank line."""
        rest, self._tail = self._tail, b""
        self._take(rest)
        last = self._take(b"")
        return [] if last is None else [last]

    def _take(self, line: bytes) -> bytes | None:
        if self._at_start:
            line = line.removeprefix(_BOM)
            self._at_start = False
        if not line:
            return self._dispatch()
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            self._size += len(line)
        elif line == b"data":
            self._data.append(b"")
        return None

    def _dispatch(self) -> bytes | None:
        if not self._data:
            return None
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data, self._size = [], 0
        return data


def frame(data: bytes) -> bytes:
    """Return `data` as one event."""
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return b"data: " + data + b"\n\n"


class EventReader:
    """Reads the events of a stream, up to `[DONE]`."""

    __slots__ = ("_splitter", "_stream", "_whole")

    def __init__(self, stream: ByteStream) -> None:
        """Whoever made the stream closes it."""
        self._stream, self._splitter, self._whole = stream, Splitter(), False

    async def next(self) -> list[bytes] | None:
        """Return the data of the events that come together; none at the end."""
        while not self._whole:
            piece = await self._stream.next()
            if piece is None:
                self._whole = True
                return [data for data in self._splitter.finish() if data != _DONE]
            events = self._splitter.feed(piece)
            if _DONE in events:
                self._whole = True
                return events[: events.index(_DONE)]
            if events:
                return events
        await self._stream.finish()
        return None
