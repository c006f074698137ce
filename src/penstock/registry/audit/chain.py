"""The chain: every line holds the hash of the line before, over all segments of one gateway.

A chain is a folder of segments, `00000001.jsonl` and so on; the one being written is called
`.open`. A segment begins with a header and ends with a footer, which are lines as all others:

    {"n": 17, "prev": "<SHA-256 of line 16>", "at": [1, 3, 4096], "entry": {...}}

`n` counts lines over the whole chain; `at` says where in the spool the entry came from, so that
whoever inherits a dead gateway's spool knows what it had written. Sealed, `box` stands in place of
`entry`. The head (`head.json`) tells the last line: without it, lines taken from the end of the
newest segment would not be missed. It is written after the lines, so lines may be newer than it.

A new chain names the heads of the chains it found (`parents`), so that none can vanish whole.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from penstock.registry.audit.links import At, hash_of, link
from penstock.registry.audit.sealing import KeyWrapper, Seal

START = "0" * 64
"""Stands for the line before the first."""
HEAD = "head.json"
OPEN, CLOSED, HEADED = ".open", ".jsonl", ".head"
NOWHERE: At = (0, 0, 0)


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a segment."""

    n: int
    prev: str
    at: At = NOWHERE
    entry: msgspec.Raw = msgspec.Raw()
    box: bytes = b""
    segment: dict[str, Any] | None = None
    closed: dict[str, Any] | None = None


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a chain has come: its last line, and that line's hash."""

    chain: str
    n: int
    hash: str
    segment: int
    at: At = NOWHERE
    parents: dict[str, str] = {}
    closed: bool = False
    mac: str = ""


class Tail(NamedTuple):
    """Where a chain goes on: its last line, that line's hash, last segment, place in the spool."""

    n: int
    hash: str
    segment: int
    at: At


def head_bytes(head: Head) -> bytes:
    """Return what a head's `mac` is over."""
    return msgspec.json.encode(msgspec.structs.replace(head, mac=""), order="sorted")


class ChainWriter:
    """Writes one chain; belongs to one thread."""

    def __init__(
        self,
        folder: Path,
        tail: Tail | None,
        parents: dict[str, str],
        wrapper: KeyWrapper | None,
    ) -> None:
        """Begin a segment.

        Raises:
            OSError: it cannot be written.
            UserError: no data key can be had.
        """
        self.folder, self._wrapper, self.parents = folder, wrapper, parents
        self.name = folder.name
        self.n, self._hash, self.segment, self.at = tail or Tail(0, START, 0, NOWHERE)
        self._descriptor = -1
        self._seal: Seal | None = None
        self.size = self.entries = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def is_open(self) -> bool:
        """Whether a segment is being written."""
        return self._descriptor >= 0

    def begin(self, now_s: float) -> None:
        """Begin the next segment."""
        number = self.segment + 1
        envelope = self._wrapper.make() if self._wrapper else None
        path = self._path(number, OPEN)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self.segment, self.size, self.entries = number, 0, 0
        self._seal = Seal(envelope.key, self.name, number) if envelope else None
        header: dict[str, Any] = {"chain": self.name, "number": number, "time_s": now_s}
        if envelope:
            header["key"] = envelope.header
        if self.parents and self.n == 0:
            header["parents"] = self.parents
        before = self.n, self._hash
        try:
            self._write([self._line(segment=header)])
        except OSError:
            self.n, self._hash = before
            self.segment = number - 1
            self._close()
            path.unlink()
            raise

    def write(self, entries: Sequence[tuple[At, bytes]]) -> None:
        """Append entries.

        Raises:
            OSError: they were not written; the segment is left, and the next write begins one.
        """
        before = self.n, self._hash
        seal = self._seal
        if seal is None:
            lines, self._hash = link(self.n, self._hash, entries)
            self.n += len(lines)
        else:
            lines = [
                self._line(at=at, box=seal.seal(self.n + 1, self._hash, entry))
                for at, entry in entries
            ]
        try:
            self._write(lines)
        except OSError:
            self.n, self._hash = before
            self._leave()
            raise
        self.at = entries[-1][0]
        self.entries += len(entries)

    def _line(self, **fields: Any) -> bytes:
        self.n += 1
        line = msgspec.json.encode(Line(n=self.n, prev=self._hash, **fields))
        self._hash = hash_of(line)
        return line

    def _write(self, lines: list[bytes]) -> None:
        data = b"\n".join(lines) + b"\n"
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self.size += len(data)

    def _leave(self) -> None:
        """Cut off what was written in part, and end the segment without a footer."""
        os.ftruncate(self._descriptor, self.size)
        self._close()
        os.rename(self._path(self.segment, OPEN), self._path(self.segment, CLOSED))

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1

    def write_head(self, *, ended: bool = False, closed: bool = False) -> None:
        """Tell how far the chain has come; `ended`: the segment is, and keeps this head."""
        head = Head(self.name, self.n, self._hash, self.segment, self.at, self.parents, closed)
        if self._seal:
            head = msgspec.structs.replace(head, mac=self._seal.mac(head_bytes(head)))
        for name in (HEAD, f"{self.segment:08}{HEADED}") if ended else (HEAD,):
            draft = self.folder / f".{name}"
            draft.write_bytes(msgspec.json.encode(head))
            os.rename(draft, self.folder / name)

    def sync(self) -> None:
        """See everything onto the disk."""
        if self.is_open:
            os.fsync(self._descriptor)

    def end(self, now_s: float, *, closed: bool = False) -> None:
        """End the segment with a footer; `closed`: the chain, too."""
        if not self.is_open:
            return
        before = self.n, self._hash
        try:
            self._write([self._line(at=self.at, closed={"time_s": now_s})])
        except OSError:
            self.n, self._hash = before
            self._leave()
            raise
        self.sync()
        self._close()
        try:
            self.write_head(ended=True, closed=closed)
        finally:  # else nobody would ship it: the next write begins another one
            os.rename(self._path(self.segment, OPEN), self._path(self.segment, CLOSED))

    def _path(self, number: int, ending: str) -> Path:
        return self.folder / f"{number:08}{ending}"


def find_tail(folder: Path) -> Tail | None:
    """Return where a chain goes on whose writer died; what it wrote in part is cut off.

    None: there is no chain yet.
    """
    head = read_head(folder)
    tail = Tail(head.n, head.hash, head.segment, head.at) if head else None
    for path in sorted((*folder.glob(f"*{CLOSED}"), *folder.glob(f"*{OPEN}"))):
        lines = path.read_bytes().split(b"\n")
        if path.suffix == OPEN:
            with path.open("r+b") as file:
                file.truncate(sum(len(line) + 1 for line in lines[:-1]))
        at = tail.at if tail else NOWHERE
        for raw in lines[:-1]:
            line = msgspec.json.decode(raw, type=Line)
            at = max(at, line.at)
            if tail is None or line.n > tail.n:
                tail = Tail(line.n, hash_of(raw), int(path.stem), at)
        if path.suffix == OPEN:
            if len(lines) > 1:
                os.rename(path, path.with_suffix(CLOSED))
            else:
                path.unlink()
    return tail


def read_head(folder: Path) -> Head | None:
    """Return a chain's head; none where there is none."""
    try:
        return msgspec.json.decode((folder / HEAD).read_bytes(), type=Head)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def orphans(folder: Path) -> dict[str, str]:
    """Return the heads in `folder` that no other chain names, by chain: a new one's parents."""
    found = [head for each in sorted(folder.iterdir()) if (head := read_head(each)) is not None]
    named = {name for head in found for name in head.parents}
    return {head.chain: head.hash for head in found if head.chain not in named}
