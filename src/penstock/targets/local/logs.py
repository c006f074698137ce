"""The log files below `.penstock/logs/`: one a service, kept within bounds, read from the end."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from penstock.targets.local.event import Event, Report
from penstock.targets.local.state import home

KEPT = 3
_BLOCK = 65_536


def folder(directory: Path) -> Path:
    """Where the logs of the stack of `directory` are."""
    return home(directory) / "logs"


def begin(path: Path) -> None:
    """Make room for a new log: `x.log` becomes `x.log.1` and so on, `KEPT` of them are kept."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in range(KEPT, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        if newer.exists():
            os.replace(newer, older)


def journal(path: Path) -> Report:
    """A `Report` that appends each change (not each second of waiting) to `path`."""

    def write(event: Event) -> None:
        if event.elapsed_s:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{now} {event.service} {event.phase}: {event.text}\n")

    return write


def tail(path: Path, lines: int) -> list[str]:
    """The last `lines` lines, oldest first; none when there is no such file."""
    if lines <= 0:
        return []
    data = b""
    with suppress(FileNotFoundError), path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        while position and data.count(b"\n") <= lines:
            step = min(_BLOCK, position)
            position = file.seek(position - step)
            data = file.read(step) + data
            file.seek(position)
    return data.decode(errors="replace").splitlines()[-lines:]


class Follower:
    """What is written to a log from now on, also after it was moved aside."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = self._inode = 0
        with suppress(FileNotFoundError):
            found = path.stat()
            self._position, self._inode = found.st_size, found.st_ino
        self._rest = b""

    def lines(self) -> Iterator[str]:
        """The complete lines that came since the last call."""
        *complete, self._rest = (self._rest + self._read()).split(b"\n")
        for line in complete:
            yield line.decode(errors="replace")

    def _read(self) -> bytes:
        """What came since the last call; first the end of a file that was moved aside."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            found, older = os.fstat(file.fileno()), b""
            if found.st_ino != self._inode or found.st_size < self._position:
                older = self._read_older()
                self._inode, self._position = found.st_ino, 0
            file.seek(self._position)
            data = file.read()
            self._position += len(data)
            return older + data
        return b""  # it is just being moved aside

    def _read_older(self) -> bytes:
        older = self.path.with_name(f"{self.path.name}.1")
        with suppress(FileNotFoundError), older.open("rb") as file:
            if os.fstat(file.fileno()).st_ino == self._inode:
                file.seek(self._position)
                return file.read()
        return b""


def follow(paths: dict[str, Path], *, pause_s: float = 0.2) -> Iterator[tuple[str, str]]:
    """Name and line of everything that is written to `paths`, for ever."""
    followers = {name: Follower(path) for name, path in paths.items()}
    while True:
        for name, follower in followers.items():
            for line in follower.lines():
                yield name, line
        time.sleep(pause_s)
