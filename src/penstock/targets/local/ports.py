"""TCP ports: whether one is free, and who holds it."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from penstock.ground.errors import MachineError

_LISTEN = "0A"  # linux/include/net/tcp_states.h


def check_free(url: str, *, what: str, fix: str) -> None:
    """Raise MachineError when nothing can listen at the host and port of `url`."""
    place = urlsplit(url)
    host, port = place.hostname or "127.0.0.1", place.port or 80
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            by = holder(port)
            why = f"{host}:{port}: {error.strerror or error}"
            raise MachineError(
                f"{what} cannot listen on port {port}",
                why=f"{why}, held by {by}" if by else why,
                fix=fix,
            ) from error


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free, chosen by the kernel, which gives it to nobody else for a minute.

    A connection that ended at the port's own side leaves it in TIME_WAIT: then the kernel does not
    choose it again, but a server that asks for it by number (with SO_REUSEADDR) gets it.
    """
    with socket.create_server((host, 0)) as probe:
        port = int(probe.getsockname()[1])
        with socket.create_connection((host, port)):
            probe.accept()[0].close()
    return port


def holder(port: int) -> str:
    """`name (pid N)` of the process that listens on `port`; empty where it cannot be known."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not wanted:
        return ""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and wanted & _open_files(entry):
            return f"{_name(entry)} (pid {entry.name})"
    return ""


def _listening_inodes(port: int) -> set[str]:
    inodes: set[str] = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _open_files(process: Path) -> set[str]:
    found: set[str] = set()
    try:
        for entry in (process / "fd").iterdir():
            try:
                found.add(os.readlink(entry))
            except FileNotFoundError:
                continue  # closed meanwhile
    except (PermissionError, FileNotFoundError, ProcessLookupError):
        return found  # another user's process, or one that just ended
    return found


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a process"
