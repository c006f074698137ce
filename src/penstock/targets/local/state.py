"""What runs here: `.penstock/run.json`, written by the supervisor, read by every other command.

The file holds an API key: mode 0600. A process id alone proves nothing (ids are used again), so
the file also says when that process was born; a file whose supervisor is gone is stale.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from penstock.ground.errors import MachineError


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One process of the stack; `phase` as in `event.Phase`, `pid` is none while it is down."""

    name: str
    phase: str
    url: str
    pid: int | None
    restarts: int
    log: str
    last_end: str = ""


@dataclass(frozen=True, slots=True)
class RunState:
    """A running stack: its supervisor, how to talk to it, and its processes.

    `url` is the gateway's address without `/v1`; `started_s` is a Unix time.
    """

    name: str
    pid: int
    born: str
    phase: str
    url: str
    api_key: str
    model: str
    engine_url: str
    started_s: float
    services: tuple[ServiceState, ...]

    @property
    def is_alive(self) -> bool:
        """Whether its supervisor still runs."""
        return self.born != "" and birth(self.pid) == self.born


def home(directory: Path) -> Path:
    """`.penstock/` beside the manifest."""
    return directory / ".penstock"


def admin_key_file(directory: Path) -> Path:
    """Where the key of the running stack's admin API lies, for its owner alone."""
    return home(directory) / "admin.key"


def find_directory(start: Path) -> Path:
    """The nearest folder, `start` or above it, in which a stack runs or ran; else `start`."""
    for folder in (start, *start.parents):
        if _path(folder).is_file() or (home(folder) / "logs").is_dir():
            return folder
    return start


def read_state(directory: Path) -> RunState | None:
    """The stack that runs in `directory`; none when nothing runs or what ran has crashed."""
    state = _read(directory)
    return state if state and state.is_alive else None


def write_state(directory: Path, state: RunState) -> None:
    """Replace `run.json`, atomically, readable by its owner alone."""
    write_private(_path(directory), json.dumps(asdict(state), indent=2).encode())


def clear_state(directory: Path) -> None:
    """Remove `run.json`."""
    _path(directory).unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Write a file with mode 0600 in one step: readers see the old or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(draft, path)


@contextmanager
def claim(directory: Path) -> Iterator[None]:
    """Hold `directory` for this supervisor; raises MachineError when another one has it.

    The lock goes with the process, so a crash leaves nothing to clean but stale files.
    """
    place = home(directory)
    place.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(place / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _already_running(directory) from None
        clear_state(directory)
        yield
    finally:
        os.close(descriptor)


def refuse_second(directory: Path) -> None:
    """Raise MachineError when a stack already runs in `directory`."""
    if read_state(directory):
        raise _already_running(directory)


def birth(pid: int) -> str:
    """What tells this process from a later one with the same id; empty when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _birth_by_ps(pid)
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _birth_by_ps(pid: int) -> str:
    if Path("/proc/self/stat").exists():
        return ""
    answer = subprocess.run(
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()


def _path(directory: Path) -> Path:
    return home(directory) / "run.json"


def _read(directory: Path) -> RunState | None:
    try:
        fields = json.loads(_path(directory).read_bytes())
        services = tuple(ServiceState(**service) for service in fields.pop("services"))
        return RunState(**fields, services=services)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # none, or of another version: whoever starts next replaces it


def _already_running(directory: Path) -> MachineError:
    state = _read(directory)
    found = f"{state.name} already runs here" if state else "a stack is already starting here"
    return MachineError(
        found,
        why=f"{state.url} (pid {state.pid})" if state else "",
        fix="Use it, or end it with `penstock down`",
        where=str(directory),
    )
