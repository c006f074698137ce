"""Records on their way to the audit, in mapped files that outlive the process that writes them.

The problem: nothing that a client saw may be missing from the audit, whatever kills the process,
and the event loop may neither wait for a disk nor hash nor encrypt. The idea, as in `slots.py`:
what is stored in a mapped file is the kernel's at once. A record is copied into the file, then its
state byte is set; from then on it is acknowledged. A write of a system call would survive as well,
but lets go of the interpreter's lock, and getting that back may take longer than all the rest.

A background thread reads behind and gives files back. Files are allocated on disk when they are
made, because a mapped hole on a full disk kills the process, and the next one is made in advance.

Layout of a file: a magic line in 64 bytes, then records: state, kind, two zero bytes, size (4),
and so many bytes, padded to a multiple of 8.
"""

import fcntl
import mmap
import os
import struct
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from penstock.ground.errors import MachineError, StoreUnavailable
from penstock.registry.room import allocate

BEGIN, END, WHOLE = 1, 2, 3
"""A request begins; it ends; something that is complete in itself."""

FILE_BYTES = 8 * 1024 * 1024
_MAGIC = b"penstock audit spool 1\n"
_START = 64
_RECORD = struct.Struct("<BBHI")
_SIZE = struct.Struct("<I")
_WRITTEN = 1
LOCK = "lock"
CARRIED = "carried"


class Record(NamedTuple):
    """What was appended, and where: file number and offset."""

    file: int
    offset: int
    kind: int
    payload: bytes


class SpoolFile:
    """One mapped file."""

    def __init__(self, folder: Path, number: int, size: int) -> None:
        """Make it.

        Raises:
            OSError: there is no room.
        """
        self.number, self.size, self.used = number, size, _START
        self.path = folder / f"{number:08}.spool"
        draft = folder / f".{number:08}"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            allocate(descriptor, size)
            self.map = mmap.mmap(descriptor, size)
        except BaseException:
            draft.unlink()
            raise
        finally:
            os.close(descriptor)
        self.map[: len(_MAGIC)] = _MAGIC
        os.rename(draft, self.path)

    def has_room(self, size: int) -> bool:
        """Whether a record of so many bytes fits."""
        return self.used + _RECORD.size + size <= self.size

    def append(self, kind: int, payload: bytes) -> None:
        """Copy a record in; it must fit."""
        at, size, buffer = self.used, len(payload), self.map
        _SIZE.pack_into(buffer, at + 4, size)
        buffer[at + 8 : at + 8 + size] = payload
        buffer[at + 1] = kind
        buffer[at] = _WRITTEN
        self.used = at + 8 + (size + 7 & -8)

    def drop(self) -> None:
        """Delete it; all its records are safe elsewhere."""
        self.path.unlink(missing_ok=True)
        self.map.close()


class Spool:
    """The spool of this process; its folder is locked as long as it lives.

    `append` belongs to the event loop, `read`, `prepare` and `release` to one other thread, which
    looks at a copy of the files: another one may come at any moment.
    """

    def __init__(
        self, folder: Path, *, file_bytes: int = FILE_BYTES, max_bytes: int = 64 * FILE_BYTES
    ) -> None:
        """Make the folder and two files.

        Raises:
            MachineError: they cannot be made here.
        """
        self.folder, self._file_bytes = folder, file_bytes
        self._max_files = max(3, max_bytes // file_bytes)
        self._made = 0
        self._read_to: tuple[int, int] = (0, _START)
        try:
            draft = folder.with_name(f".{folder.name}")  # seen by others only when it is locked
            draft.mkdir(mode=0o700, parents=True)
            self._lock = take_lock(draft)
            os.rename(draft, folder)
            self._files = deque([self._make()])
            self._spare: SpoolFile | None = self._make()
        except OSError as error:
            raise MachineError(
                "the audit cannot be written", why=str(error), where=str(folder)
            ) from None
        self._current = self._files[0]

    def _make(self) -> SpoolFile:
        self._made += 1
        return SpoolFile(self.folder, self._made, self._file_bytes)

    # The event loop

    @property
    def has_room(self) -> bool:
        """Whether a request may begin: there is a spare file, or half of this one is left.

        That half is for the ends of what has begun, until the other thread makes the next file.
        """
        return self._spare is not None or self._current.used < self._file_bytes // 2

    def append(self, kind: int, payload: bytes) -> None:
        """Take a record; when this returns it is acknowledged.

        Raises:
            StoreUnavailable: there is no room left, because nothing could be archived for long.
        """
        if not self._current.has_room(len(payload)):
            self._roll(len(payload))
        self._current.append(kind, payload)

    def _roll(self, size: int) -> None:
        spare, self._spare = self._spare, None
        if spare is None or not spare.has_room(size):
            self._spare = spare
            raise StoreUnavailable("the audit cannot be written now", why="its spool is full")
        self._files.append(spare)
        self._current = spare

    # The other thread

    def prepare(self) -> None:
        """Make the next file, if there may be one.

        Raises:
            OSError: there is no room on the disk.
        """
        if self._spare is None and len(self._files) < self._max_files:
            self._spare = self._make()

    def read(self, most: int) -> list[Record]:
        """Return the next records, as many as `most`."""
        found: list[Record] = []
        for file in list(self._files):
            number, offset = self._read_to
            if file.number < number:
                continue
            if file.number > number:
                offset = _START
            for record in _records_in(file.map, file.number, offset, file.used):
                found.append(record)
                offset = record.offset + _RECORD.size + (len(record.payload) + 7 & -8)
                self._read_to = (file.number, offset)
                if len(found) >= most:
                    return found
        return found

    def finished(self) -> list[int]:
        """Return the numbers of files that are read to their end and get no more records."""
        number, offset = self._read_to
        full = [file for file in list(self._files) if file is not self._current]
        return [
            file.number
            for file in full
            if file.number < number or (file.number == number and offset >= file.used)
        ]

    def release(self, number: int) -> None:
        """Give a file back; all its records are safe elsewhere."""
        file = next(file for file in list(self._files) if file.number == number)
        self._files.remove(file)
        file.drop()

    @property
    def size_bytes(self) -> int:
        """Bytes of records that are not yet given back."""
        return sum(file.used for file in list(self._files))

    def remove(self) -> None:
        """Delete everything; all records must be safe."""
        for file in (*self._files, self._spare):
            if file is not None:
                file.drop()
        clear(self.folder)
        os.close(self._lock)


def take_lock(folder: Path, *, wait: bool = True) -> int:
    """Lock a spool's folder; returns the descriptor that holds the lock.

    Who does not `wait` wants a folder of another process, and makes nothing in it.

    Raises:
        BlockingIOError: its process lives.
        FileNotFoundError: it is being deleted, or was.
    """
    made = os.O_CREAT if wait else 0
    descriptor = os.open(folder / LOCK, os.O_RDWR | made, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        os.stat(folder / LOCK)  # who had it before us may have deleted the folder
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def clear(folder: Path) -> None:
    """Delete a spool's folder; the lock goes last."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == LOCK):
        path.unlink(missing_ok=True)
    folder.rmdir()


def read_left(folder: Path) -> Iterator[Record]:
    """Yield every record that a dead process left in its files, in order."""
    for path in sorted(folder.glob("*.spool")):
        data = path.read_bytes()
        if data.startswith(_MAGIC):
            yield from _records_in(data, int(path.stem), _START, len(data))


def write_carried(folder: Path, records: list[Record]) -> None:
    """Keep records whose files are about to go; replaces what was kept before."""
    draft = folder / f".{CARRIED}"
    with draft.open("wb") as file:
        for record in records:
            file.write(struct.pack("<IIBI", *record[:3], len(record.payload)) + record.payload)
    os.rename(draft, folder / CARRIED)


def read_carried(folder: Path) -> Iterator[Record]:
    """Yield what `write_carried` kept."""
    try:
        data = (folder / CARRIED).read_bytes()
    except FileNotFoundError:
        return
    head, at = struct.Struct("<IIBI"), 0
    while at < len(data):
        number, offset, kind, size = head.unpack_from(data, at)
        at += head.size
        yield Record(number, offset, kind, data[at : at + size])
        at += size


def _records_in(data: "bytes | mmap.mmap", number: int, offset: int, end: int) -> Iterator[Record]:
    while offset + _RECORD.size <= end and data[offset] == _WRITTEN:
        _, kind, _, size = _RECORD.unpack_from(data, offset)
        start = offset + _RECORD.size
        yield Record(number, offset, kind, bytes(data[start : start + size]))
        offset = start + (size + 7 & -8)
