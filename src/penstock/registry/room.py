"""Room on the disk for files that are mapped into memory.

A store to a page of such a file that the disk has no room for ends the process (SIGBUS), without
a word and without an exception: room is taken before anything is mapped.
"""

import fcntl
import mmap
import os
import sys
from pathlib import Path


def allocate(descriptor: int, size: int) -> None:
    """Give a new file `size` bytes, all of them on the disk.

    Raises:
        OSError: there is no room.
    """
    if sys.platform == "darwin":
        os.pwrite(descriptor, bytes(size), 0)
    else:
        os.posix_fallocate(descriptor, 0, size)


def map_locked(path: Path, size: int, head: bytes) -> tuple[int, mmap.mmap]:
    """Make a file that begins with `head`; returns its descriptor, with the lock, and its map.

    Others see it only when all that is done.

    Raises:
        OSError: it cannot be made; nothing is left of it.
    """
    draft = path.with_name(f".{path.name}")
    descriptor = _made(draft)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        while not os.fstat(descriptor).st_nlink:
            # Before it was locked, somebody took it for one that a dead process had left.
            anew = _made(draft)
            os.close(descriptor)
            descriptor = anew
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        allocate(descriptor, size)
        mapped = mmap.mmap(descriptor, 0)
        mapped[: len(head)] = head
        os.rename(draft, path)
    except OSError:
        os.close(descriptor)
        draft.unlink(missing_ok=True)
        raise
    return descriptor, mapped


def _made(draft: Path) -> int:
    return os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
