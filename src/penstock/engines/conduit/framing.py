"""HTTP/1.1 chunked framing, read so that untouched bytes can be passed on.

A general parser hands out each chunk's payload, and a proxy then frames it again: two copies and
four Python calls a token. Engines write one server-sent event a chunk, and the kernel nearly
always delivers whole chunks. So the reader walks over the chunk heads only; a run of whole chunks
that each end at an event boundary is handed on as one slice, framing included. Everything else
(a chunk cut by the kernel, an event cut by a chunk) takes the slow road, byte by byte correct.
"""

from collections.abc import Sequence

from penstock.ground.errors import EngineDied

_MAX_HEAD = 1024
_HEX, _MAX_DIGITS = b"0123456789abcdefABCDEF", 16
_CRLF_DUE = b"\n"  # no chunk head begins like this; behind it: what has come of the CRLF
_SIZES = {b"%x" % size: size for size in range(2, 4097)}  # what engines write, ready-made


class ChunkReader:
    """Splits a chunked body into framed runs of whole events and loose payload bytes."""

    __slots__ = ("_framed_runs", "_missing", "_rest", "done", "surplus")

    def __init__(self, *, framed_runs: bool) -> None:
        """`framed_runs` false: everything is handed out as loose payload."""
        self._framed_runs = framed_runs
        self._rest = b""  # bytes of an unfinished chunk head, CRLF or trailer
        self._missing = 0  # payload bytes still to come of the current chunk
        self.done = False
        self.surplus = False  # bytes came behind the end of the body, which nobody asked for

    def is_event(self, data: bytes) -> bool:
        """Whether `data` is one whole chunk that ends with an event, and follows on whole ones.

        It need not be fed then: engines write an event at a time, and this is what a stream
        consists of where the gateway keeps up with it.
        """
        head_end = data.find(b"\r\n", 0, 10)
        return (
            _SIZES.get(data[:head_end]) == len(data) - head_end - 4
            and data.endswith(b"\n\n\r\n")
            and not self._rest
            and not self._missing
            and self._framed_runs
        )

    def feed(self, data: bytes) -> Sequence[tuple[bool, bytes]]:
        """Return `(is_framed_events, bytes)` pieces in order; sets `done` at the last chunk.

        Raises:
            EngineDied: the framing is not HTTP.
        """
        pieces: list[tuple[bool, bytes]] = []
        if self._missing:
            taken = data[: self._missing]
            pieces.append((False, taken))
            self._missing -= len(taken)
            if self._missing:
                return pieces
            data = data[len(taken) :]
            self._rest = _CRLF_DUE
        if self._rest:
            data = self._finish_rest(data)
            if not data:
                return pieces
        run = self._run_in(data) if self._framed_runs else 0
        if run == len(data):
            pieces.append((True, data))
            return pieces
        if run:
            pieces.append((True, data[:run]))
        if loose := self._walk(data, run):
            pieces.append((False, loose[0] if len(loose) == 1 else b"".join(loose)))
        return pieces

    @staticmethod
    def _run_in(data: bytes) -> int:
        """Return where the run of whole chunks that end with an event ends in `data`."""
        at, find, sizes = 0, data.find, _SIZES
        while (head_end := find(b"\r\n", at, at + 10)) > 0:
            size = sizes.get(data[at:head_end])
            if size is None:
                return at
            end = head_end + 2 + size
            if data[end - 2 : end + 2] != b"\n\n\r\n":
                return at
            at = end + 2
        return at

    def _finish_rest(self, data: bytes) -> bytes:
        rest, self._rest = self._rest, b""
        if rest[:1] != _CRLF_DUE:
            return rest + data
        due = rest[1:] + data
        if len(due) < 2:
            self._rest = _CRLF_DUE + due
            return b""
        if due[:2] != b"\r\n":
            raise _broken(due)
        return due[2:]

    def _walk(self, data: bytes, at: int) -> list[bytes]:
        """Read `data` from `at` on, chunk by chunk; returns their payload."""
        payload: list[bytes] = []
        while at < len(data):
            head_end = data.find(b"\r\n", at, at + _MAX_HEAD)
            if head_end < 0:
                if len(data) - at >= _MAX_HEAD:
                    raise _broken(data[at:])
                break
            size = _SIZES.get(data[at:head_end]) or _chunk_size(data, at, head_end)
            start, end = head_end + 2, head_end + 2 + size
            if size == 0:
                self._end(data[at:], start - at)
                return payload
            if end + 2 > len(data):
                self._cut(data, start, end, payload)
                return payload
            if data[end : end + 2] != b"\r\n":
                raise _broken(data[end:])
            payload.append(data[start:end])
            at = end + 2
        self._rest = data[at:]
        return payload

    def _cut(self, data: bytes, start: int, end: int, payload: list[bytes]) -> None:
        """The last chunk in `data` is not complete: hand out what is there of its payload."""
        if start < len(data):
            payload.append(data[start:end])
        self._missing = max(0, end - len(data))
        if not self._missing:
            self._rest = _CRLF_DUE + data[end:]

    def _end(self, data: bytes, trailer: int) -> None:
        """Read the trailer: lines until an empty one (engines send none)."""
        while (line_end := data.find(b"\r\n", trailer)) > trailer:
            trailer = line_end + 2
        if line_end < 0:
            if len(data) > _MAX_HEAD:
                raise _broken(data)
            self._rest = data
            return
        self.done, self.surplus = True, line_end + 2 < len(data)


def _chunk_size(data: bytes, at: int, head_end: int) -> int:
    digits = data[at:head_end].split(b";", 1)[0].rstrip(b" \t")
    if not digits or len(digits) > _MAX_DIGITS or digits.strip(_HEX):
        raise _broken(data[at:])
    return int(digits, 16)


def _broken(data: bytes) -> EngineDied:
    return EngineDied("the engine's answer is not valid HTTP", why=f"chunk head {data[:20]!r}")


def begins_chunk(run: bytes, at: int) -> bool:
    """Whether a chunk of a framed run begins at `at`, by the look of it."""
    end = run.find(b"\r\n", at)
    return run[at:end] in _SIZES


def unframe(framed: bytes) -> bytes:
    """Return the payload of a run of whole chunks, as `ChunkReader` hands them out."""
    payload, at = [], 0
    while at < len(framed):
        head_end = framed.index(b"\r\n", at)
        start = head_end + 2
        end = start + (_SIZES.get(framed[at:head_end]) or _chunk_size(framed, at, head_end))
        payload.append(framed[start:end])
        at = end + 2
    return b"".join(payload)


def framed(payload: bytes) -> bytes:
    """Return `payload` as one chunk; nothing for an empty one, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""
