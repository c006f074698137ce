"""What containers write, carried into CloudWatch Logs while they run and when they end."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 200_000
"""What is carried at once: PutLogEvents takes a megabyte."""


@dataclass(slots=True)
class _Followed:
    group: str
    stream: str
    at: int = 0
    made: bool = False


class Lines:
    """The log files that are followed; `client` gives a client of a service."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client
        self._followed: dict[Path, _Followed] = {}
        self._lock = threading.Lock()

    def follow(self, file: Path, group: str, stream: str) -> None:
        """Carry the file's lines, those that are there and those that come."""
        with self._lock:
            if file not in self._followed:
                self._followed[file] = _Followed(group, stream)
        self.carry(file)

    def carry(self, only: Path | None = None) -> None:
        """Carry the new whole lines of one file, or of all."""
        with self._lock:
            for file, place in self._followed.items():
                if only in {None, file}:
                    self._carry(file, place)

    def end(self, file: Path) -> None:
        """Carry what is left of a file, and follow it no more."""
        self.carry(file)
        with self._lock:
            self._followed.pop(file, None)

    def write(self, group: str, stream: str, lines: list[str]) -> None:
        """Write lines to a stream, which is made if it is not there."""
        logs = self._client("logs")
        exists = logs.exceptions.ResourceAlreadyExistsException
        with contextlib.suppress(exists):
            logs.create_log_group(logGroupName=group)
        with contextlib.suppress(exists):
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        self._put(group, stream, lines)

    def _carry(self, file: Path, place: _Followed) -> None:
        if not file.is_file() or file.stat().st_size <= place.at:
            return
        with file.open("rb") as opened:
            opened.seek(place.at)
            read = opened.read(MOST_BYTES)
        whole = read[: read.rfind(b"\n") + 1]
        place.at += len(whole)
        lines = [each for each in whole.decode(errors="replace").splitlines() if each.strip()]
        if not lines:
            return
        if place.made:
            self._put(place.group, place.stream, lines)
        else:
            self.write(place.group, place.stream, lines)
            place.made = True

    def _put(self, group: str, stream: str, lines: list[str]) -> None:
        logs, at = self._client("logs"), int(time.time() * 1000)
        events = [{"timestamp": at, "message": line} for line in lines if line]
        if not events:
            return
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):  # the group went
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
