"""What the lines of a batch were answered: kept as they come, and made into files at the end.

Every runner of a batch appends to a part of its own, and whoever takes over reads all parts first.
A line that is in one is never asked again; should two runners have asked it, the first one holds.
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec import Raw

from penstock.gateway.batching.line_client import Reply
from penstock.gateway.batching.threads import Threads
from penstock.ground.errors import StoreUnavailable
from penstock.registry.batches.contents import Contents, told
from penstock.registry.batches.records import OUTPUT, BatchRecord, FileRecord

_MOST_HELD = 256
"""Results that may wait to be kept; then nothing more is asked."""
_AGAIN_S = 2.0

log = logging.getLogger("penstock.gateway")

_ENDINGS = tuple((chr(code).encode(), b"\\u%04x" % code) for code in (0x85, 0x2028, 0x2029))


class _Mark(msgspec.Struct):
    n: int
    e: bool


class _Kept(_Mark):
    line: Raw


_marks = msgspec.json.Decoder(_Mark)
_kept = msgspec.json.Decoder(_Kept)


class Leftover(NamedTuple):
    """Why lines were not answered."""

    code: str
    message: str


class Written(NamedTuple):
    """The files of a batch, those that are not empty, and how many lines went well."""

    output: FileRecord | None
    errors: FileRecord | None
    completed: int


class Results:
    """The results of one batch, as one runner has them."""

    def __init__(
        self, contents: Contents, batch: BatchRecord, room: Path, threads: Threads
    ) -> None:
        """`room` is a folder of this machine for what is being made."""
        self._contents, self._batch, self._room = contents, batch, room
        self._threads = threads
        self._folder = f"parts/{batch.id}"
        self._part = f"{batch.generation:06d}"
        self._number = 0
        self._held: list[bytes] = []
        self._writing = asyncio.Lock()
        self._flusher: asyncio.Task[None] | None = None
        self.done: set[int] = set()
        self.failed = 0
        self._is_loaded = False

    @property
    def counts(self) -> tuple[int, int]:
        """How many lines went well, and how many did not."""
        if not self._is_loaded:
            return self._batch.completed, self._batch.failed
        return len(self.done) - self.failed, self.failed

    async def load(self) -> None:
        """Learn what other runners have kept.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        for number, failed in await self._threads.do(self._load):
            if number not in self.done:
                self.done.add(number)
                self.failed += failed
        self._is_loaded = True

    def _load(self) -> list[tuple[int, bool]]:
        marks = (_marks.decode(record) for record in self._records())
        return [(mark.n, mark.e) for mark in marks]

    def _records(self) -> Iterator[bytes]:
        """Yield all whole records; a runner that was killed may have left half of one."""
        for part in self._contents.parts(self._folder):
            rest = b""
            for piece in self._contents.read(part):
                *lines, rest = (rest + piece).split(b"\n")
                yield from filter(None, lines)

    async def open(self) -> None:
        """See whether anything can be kept, before somebody pays for what cannot be.

        Raises:
            StoreUnavailable: it cannot.
        """
        await self._threads.do(self._contents.append, self._folder, self._part, 0, b"\n")

    async def add(self, number: int, line: bytes, *, failed: bool) -> None:
        """Keep the result of a line: at once, or where that costs much, together with others.

        Where it cannot be kept, it is held until it can be: it was paid for.
        """
        self.done.add(number)
        self.failed += failed
        told = b"true" if failed else b"false"
        self._held.append(b'{"n":%d,"e":%b,"line":%b}\n' % (number, told, line))
        if self._flusher is not None and self._flusher.done():
            self._flusher.result()
            self._flusher = None
        if not self._contents.gather_s or len(self._held) >= _MOST_HELD:
            await self.flush(waits=True)
        elif self._flusher is None:
            self._flusher = asyncio.create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        await asyncio.sleep(self._contents.gather_s)
        await self.flush(waits=True)

    async def flush(self, *, waits: bool = False) -> None:
        """Keep all there is; who `waits` goes on trying.

        Raises:
            StoreUnavailable: it cannot be kept now; it is still held.
        """
        async with self._writing:
            is_told = False
            while held := tuple(self._held):
                data, self._number = b"".join(held), self._number + 1
                put = self._contents.append
                try:
                    await self._threads.do(put, self._folder, self._part, self._number, data)
                except StoreUnavailable as error:
                    if not waits:
                        raise
                    if not is_told:
                        log.warning("results of %s wait: %s", self._batch.id, error)
                    is_told = True
                    await asyncio.sleep(_AGAIN_S)
                else:
                    del self._held[: len(held)]

    async def close(self) -> None:
        """Keep what can be kept, and be done."""
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.gather(self._flusher, return_exceptions=True)

    def planned(self, now_s: float) -> tuple[FileRecord, FileRecord]:
        """Return the files of output and of errors as they will be, but for their sizes.

        Their ids are this runner's alone. One that was replaced, and does not know it yet, writes
        beside what its successor has made, never over it.
        """
        return self._planned("output", now_s), self._planned("error", now_s)

    def _planned(self, name: str, now_s: float) -> FileRecord:
        batch = self._batch
        secret = f"{batch.id}:{batch.generation}:{name}"
        file_id = f"file-{hashlib.sha256(secret.encode()).hexdigest()[:24]}"
        shown, until_s = f"{batch.id}_{name}.jsonl", now_s + batch.output_life_s
        return FileRecord(file_id, batch.tenant, shown, OUTPUT, 0, now_s, until_s, True)

    def write_out(
        self,
        lines: Iterator[tuple[int, str]],
        why: Leftover | None,
        planned: tuple[FileRecord, FileRecord],
    ) -> Written:
        """Make the files of a batch; called in a thread.

        `lines` are the numbers and custom ids of all lines: those without a result go to the file
        of errors, with `why`.

        Raises:
            StoreUnavailable: they cannot be kept, or what was kept cannot be found.
        """
        made_in, good = self._room, 0
        with told(), TemporaryFile(dir=made_in) as output, TemporaryFile(dir=made_in) as errors:
            seen: set[int] = set()
            for record in self._records():
                kept = _kept.decode(record)
                if kept.n not in seen:
                    seen.add(kept.n)
                    good += not kept.e
                    (errors if kept.e else output).write(bytes(kept.line) + b"\n")
            if not self.done <= seen:
                raise StoreUnavailable(
                    "results that were kept are not there",
                    why=f"{len(self.done - seen)} of {len(self.done)}",
                )
            for number, custom_id in lines:
                if number not in seen and why is not None:
                    errors.write(error_line(self._batch.id, number, custom_id, why) + b"\n")
            for_output, for_errors = planned
            return Written(self._file(for_output, output), self._file(for_errors, errors), good)

    def _file(self, record: FileRecord, file: BinaryIO) -> FileRecord | None:
        if not file.tell():
            return None
        file.seek(0)
        return replace(record, size_bytes=self._contents.put(f"files/{record.id}", file))

    def forget(self) -> None:
        """Remove the parts: their results are in the files; called in a thread."""
        self._contents.clear(self._folder)


def result_line(batch_id: str, number: int, custom_id: str, told: tuple[str, Reply]) -> bytes:
    """Return the line of an answer; `told` is the id of the request and what came."""
    request_id, reply = told
    response = {"status_code": reply.status, "request_id": request_id, "body": _body(reply.body)}
    return _on_one_line(
        {
            "id": _name(batch_id, number),
            "custom_id": custom_id,
            "response": response,
            "error": None,
        }
    )


def error_line(batch_id: str, number: int, custom_id: str, why: Leftover) -> bytes:
    """Return the line of a request that was not answered."""
    return _on_one_line(
        {
            "id": _name(batch_id, number),
            "custom_id": custom_id,
            "response": None,
            "error": {"code": why.code, "message": why.message},
        }
    )


def _on_one_line(told: dict[str, object]) -> bytes:
    """Return JSON without what many a reader takes for the end of a line."""
    line = msgspec.json.encode(told)
    if line.isascii():
        return line
    for ending, escaped in _ENDINGS:
        line = line.replace(ending, escaped)
    return line


def _name(batch_id: str, number: int) -> str:
    return f"batch_req_{batch_id.removeprefix('batch_')}_{number}"


def _body(body: bytes) -> object:
    """Return JSON on one line; what is none, as a text. All of a file is UTF-8, whatever came."""
    text = body.decode(errors="replace")
    with suppress(msgspec.DecodeError, RecursionError):
        return Raw(msgspec.json.format(text, indent=-1).encode())
    return text
