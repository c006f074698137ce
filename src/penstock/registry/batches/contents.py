"""Where the contents of files lie: what it must do, and a folder that does it.

A folder that several gateways use must be the same one for all: a file system they share. It is
marked, and so is the database, so that a gateway with a folder of its own is found out.
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from penstock.ground.errors import StoreUnavailable

PIECE = 256 * 1024
"""Bytes that are read at a time."""
MARK = "penstock-files"
"""The object that tells one place from another."""
_MARK = re.compile(rb"[0-9a-f]{16}")


class Missing(StoreUnavailable):
    """What was kept is gone for good."""


class Contents(Protocol):
    """Files by name; every call may take its time and is made in a thread.

    Names are made of ids and of `/`. Whatever cannot be done raises StoreUnavailable.
    """

    gather_s: float
    """How long results are gathered before they are worth an `append`."""

    def mark(self) -> str:
        """Return what tells this place from others: made the first time that it is asked for."""

    def put(self, name: str, source: BinaryIO) -> int:
        """Keep what `source` holds; returns its bytes. When this returns it is there, whole."""

    def read(self, name: str) -> Iterator[bytes]:
        """Yield what is kept, in pieces."""

    def borrow(self, name: str, place: Path) -> Path:
        """Return a file of this machine with these contents: at `place`, if it must be fetched.

        Raises:
            Missing: there is no such file, and the place of the files is there.
        """

    def append(self, folder: str, part: str, number: int, data: bytes) -> None:
        """Keep a further piece, number `number`, of a part; when this returns it is there."""

    def parts(self, folder: str) -> list[str]:
        """Return the names of what was appended in `folder`, in order."""

    def folders(self, below: str) -> list[str]:
        """Return the names of the folders in the folder `below`."""

    def remove(self, name: str) -> None:
        """Forget a file, if it is there."""

    def clear(self, folder: str) -> None:
        """Forget all that was appended in `folder`."""


def checked_mark(data: bytes) -> str:
    """Return a mark as it was read.

    Raises:
        StoreUnavailable: this is none.
    """
    if not _MARK.fullmatch(data):
        raise StoreUnavailable(f"`{MARK}` in the place of the files is damaged")
    return data.decode()


class Folder:
    """A folder. Satisfies `Contents`."""

    gather_s = 0.0

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_marked = False

    def mark(self) -> str:
        """Contents: what tells this place from others."""
        with told():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            place = self._root / MARK
            if not self._is_marked and not place.exists():
                with self._written() as (made, file):
                    file.write(secrets.token_hex(8).encode())
                    file.flush()
                    os.fsync(file.fileno())
                    file.close()
                    try:
                        os.link(made, place)  # fails if another gateway was faster
                    except FileExistsError:
                        pass
                    finally:
                        made.unlink()
            mark = checked_mark(place.read_bytes())
            self._is_marked = True  # a folder without it is another one: its disk is away
            return mark

    def put(self, name: str, source: BinaryIO) -> int:
        """Contents: keep what `source` holds."""
        with told():
            target = self._root / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._written() as (made, file):
                shutil.copyfileobj(source, file, PIECE)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
                made.replace(target)
            _sync(target.parent)
            return size

    @contextmanager
    def _written(self) -> Iterator[tuple[Path, BinaryIO]]:
        """Give a new file that is removed if all does not go well."""
        made = self._root / f"made-{secrets.token_hex(8)}"
        try:
            with made.open("xb") as file:
                yield made, file
        except BaseException:
            made.unlink(missing_ok=True)
            raise

    def read(self, name: str) -> Iterator[bytes]:
        """Contents: yield what is kept."""
        with told(), (self._root / name).open("rb") as file:
            while piece := file.read(PIECE):
                yield piece

    def borrow(self, name: str, place: Path) -> Path:
        """Contents: the file itself."""
        with told():
            try:
                (self._root / name).stat()
            except FileNotFoundError:
                if (self._root / MARK).exists():
                    raise Missing(f"{name} is not there any more") from None
                raise
        return self._root / name

    def append(self, folder: str, part: str, number: int, data: bytes) -> None:
        """Contents: keep a further piece at the end of the part's file."""
        with told():
            place = self._root / folder
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_new = not (place / part).exists()
            with (place / part).open("ab", buffering=0) as file:
                before, left = file.seek(0, os.SEEK_END), memoryview(data)
                try:
                    while left:
                        left = left[file.write(left) :]
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(before)  # half a record would spoil the one behind it
                    raise
            if is_new:
                _sync(place)

    def parts(self, folder: str) -> list[str]:
        """Contents: what was appended."""
        return [f"{folder}/{name}" for name in sorted(self.folders(folder))]

    def folders(self, below: str) -> list[str]:
        """Contents: what is in a folder; nothing, where there is none."""
        with told():
            try:
                return os.listdir(self._root / below)
            except FileNotFoundError:
                return []

    def remove(self, name: str) -> None:
        """Contents: forget a file."""
        with told():
            (self._root / name).unlink(missing_ok=True)

    def clear(self, folder: str) -> None:
        """Contents: forget a folder."""
        with told(), suppress(FileNotFoundError):
            shutil.rmtree(self._root / folder)


def _sync(folder: Path) -> None:
    """Let a name in a folder outlast a loss of power, as what it names does."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (
            errno.EINVAL,
            errno.ENOTSUP,
        ):  # some file systems know no such thing
            raise
    finally:
        os.close(opened)


@contextmanager
def told() -> Iterator[None]:
    """Turn what goes wrong with files of this machine into StoreUnavailable."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            "the folder of files cannot be used", why=error.strerror or type(error).__name__
        ) from None
