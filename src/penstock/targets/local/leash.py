"""Keep one process, and whatever it starts, on a leash: `python -I -S leash.py ...`.

The problem: a supervisor that is killed with SIGKILL cannot end what it started, and engines
start processes of their own, some in sessions of their own.

The idea: this small program stands between the supervisor and the engine. It holds the read end
of a pipe as stdin; the kernel closes the write end when the supervisor goes, however it went. On
that end-of-file, on SIGTERM, or once the engine itself has ended, it ends everything that is left
of the engine: SIGTERM first, SIGKILL after a grace period. On Linux it is the "child subreaper",
so that descendants which left the engine's process group still hang below it and are found. If
the leash itself is killed, Linux kills the engine at once (PR_SET_PDEATHSIG) and the supervisor,
which was told the engine's process group, kills the rest.

It also carries the engine's output to the log file, so that a file can be kept within bounds.

Given up: on macOS a descendant that leaves the group and outlives its parent is not found.
It imports the standard library only, and little of it, because it starts with every engine.

Protocol: stdout gets one line, the engine's process id (also the id of its group); SIGQUIT means
"kill at once". The exit code is the engine's; 128 + N means signal N ended it.
"""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable

STDIN, STDOUT = 0, 1
LEFTOVER_GRACE_S = 2.0  # for what an engine leaves behind when it ended by itself
POLL_S = 0.02
TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def main(arguments: list[str]) -> int:
    """Run `GRACE_S LOG MAX_BYTES ARGV...`; returns the exit code that stands for its end."""
    grace_s, path, max_bytes, *argv = arguments
    log = Log(path, int(max_bytes))
    on_linux(_PR_SET_CHILD_SUBREAPER, 1)
    wake, alarm = os.pipe()
    for descriptor in (wake, alarm):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    for number in (*TOLD, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    output, pid = start(argv)
    os.write(STDOUT, b"%d\n" % pid)
    os.close(STDOUT)
    group = Group(pid)
    kill_now = watch(group, output, wake, log)
    grace = LEFTOVER_GRACE_S if group.code is not None else float(grace_s)
    end(group, 0.0 if kill_now else grace, wake, lambda: log.drain(output))
    return group.code if group.code is not None else 0


def start(argv: list[str]) -> tuple[int, int]:
    """Start `argv` in a session of its own; returns the read end of its output and its pid."""
    output, inlet = os.pipe()
    leash = os.getpid()
    pid = os.fork()
    if pid:
        os.close(inlet)
        os.set_blocking(output, False)
        return output, pid
    os.setsid()
    on_linux(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != leash:  # it died between the fork and the line above
        os._exit(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), STDIN)
    os.dup2(inlet, 1)
    os.dup2(inlet, 2)
    for number in (*TOLD, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606  no shell, and nothing of ours shall remain
    except OSError as error:
        os.write(2, f"cannot start {argv[0]}: {error.strerror}\n".encode())
    os._exit(127)


def watch(group: "Group", output: int, wake: int, log: "Log") -> bool:
    """Carry output until the engine ends or we are told to end it; true means kill at once."""
    poll = select.poll()
    for source in (STDIN, output, wake):
        poll.register(source, select.POLLIN)
    while group.code is None:
        for source, _ in poll.poll():
            if source == STDIN:
                return False
            if source == output and not log.drain(output):
                poll.unregister(output)
            if source == wake and (told := signals(wake)) & set(TOLD):
                return signal.SIGQUIT in told
        group.reap()
    return False


def end(group: "Group", grace_s: float, wake: int, carry: Callable[[], object]) -> None:
    """End what is left: SIGTERM, then SIGKILL after `grace_s` seconds or on SIGQUIT."""
    deadline = time.monotonic() + grace_s
    if grace_s:
        group.signal(signal.SIGTERM)
    while group.remains():
        if signal.SIGQUIT in signals(wake) or time.monotonic() >= deadline:
            deadline = 0.0
            group.signal(signal.SIGKILL)
        carry()
        time.sleep(POLL_S)
    carry()


def signals(wake: int) -> set[int]:
    """The numbers of the signals that came since the last call."""
    try:
        return set(os.read(wake, 512))
    except BlockingIOError:
        return set()


class Group:
    """The engine and everything it started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None

    def reap(self) -> None:
        """Collect ended children; keeps the engine's own exit code."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code

    def remains(self) -> bool:
        """Whether any process of it still lives."""
        self.reap()
        return self.remains_in_group() or bool(descendants(os.getpid()))

    def remains_in_group(self) -> bool:
        """Whether any process of its own group still lives."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # macOS says so of a group in which only zombies are left
            return self.code is None
        return True

    def signal(self, number: int) -> None:
        """Send a signal to the group and to every descendant that left it."""
        try:  # noqa: SIM105  contextlib takes longer to load than all of this
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left in it, or zombies alone (macOS)
        for pid in descendants(os.getpid()):
            try:
                if os.getpgid(pid) != self.pid:
                    os.kill(pid, number)
            except ProcessLookupError:
                continue  # it ended meanwhile


def descendants(root: int) -> list[int]:
    """Processes below `root`, by /proc; empty where there is none (macOS)."""
    if not os.path.isdir("/proc/self"):
        return []
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if fields[0] != b"X":
            children.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    ahead = list(children.get(root, ()))
    while ahead:
        pid = ahead.pop()
        found.append(pid)
        ahead += children.get(pid, ())
    return found


class Log:
    """A file that is moved to `<path>.1` when it has `max_bytes`, and begun anew."""

    def __init__(self, path: str, max_bytes: int) -> None:
        self.path, self.max_bytes = path, max_bytes
        self.open()

    def open(self) -> None:
        """Open the file for appending, readable by its owner alone."""
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = os.fstat(self.fd).st_size

    def drain(self, output: int) -> bool:
        """Carry what can be read now; false once the other end is closed."""
        while True:
            try:
                chunk = os.read(output, 65536)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self.write(chunk)

    def write(self, chunk: bytes) -> None:
        """Append; a full disk loses output, it must not stop the engine."""
        try:
            os.write(self.fd, chunk)
            self.size += len(chunk)
            if self.size >= self.max_bytes:
                os.close(self.fd)
                os.replace(self.path, self.path + ".1")
                self.open()
        except OSError:
            self.size = 0


def on_linux(option: int, value: int) -> None:
    """Call prctl(2); elsewhere there is no such thing."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
