"""The stand: builds the tools, starts the contenders, reads their processor time and memory.

`mock.c` is the engine, `load.c` the client; both run on one core, the contender on the other. The
prompt steers the mock: `mock:n=100,d=10000` asks for 100 chunks, one every 10,000 microseconds.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "bench"
KEY = "bench-key"
MODEL = "mock-model"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cores:
    """Which core each side is pinned to; none where there is only one."""

    contender: str | None
    tools: str | None

    @staticmethod
    def choose() -> "Cores":
        """Return core 0 for the contender and 1 for the tools, where there are two."""
        two = (os.cpu_count() or 1) > 1 and shutil.which("taskset") is not None
        return Cores("0", "1") if two else Cores(None, None)

    @staticmethod
    def same() -> "Cores":
        """Return core 0 for all, where there are two."""
        chosen = Cores.choose()
        return Cores(chosen.contender, chosen.contender)

    @staticmethod
    def pin(core: str | None, argv: Sequence[str]) -> list[str]:
        """Return `argv` pinned to `core`."""
        return ["taskset", "-c", core, *argv] if core else list(argv)


def build_tools() -> tuple[Path, Path]:
    """Compile the mock engine and the load client; returns their paths."""
    BUILD.mkdir(parents=True, exist_ok=True)
    built = []
    for name in ("mock", "load"):
        source, program = HERE / f"{name}.c", BUILD / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            command = ["cc", "-O2", "-w", "-o", str(program), str(source), "-lm"]
            subprocess.run(command, check=True)
        built.append(program)
    return built[0], built[1]


def load(port: int, cores: Cores, *arguments: str) -> dict:  # type: ignore[type-arg]
    """Run the load client once and return what it prints."""
    argv = [str(BUILD / "load"), "-p", str(port), "-k", KEY, "-m", MODEL, *arguments]
    argv = Cores.pin(cores.tools, argv)
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=600)
    answer: dict = json.loads(done.stdout)  # type: ignore[type-arg]
    return answer


def free_port() -> int:
    """Return a TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(argv: Sequence[str], name: str, env: dict[str, str] | None = None) -> Iterator[int]:
    """Run a process group for the block; yields its pid. Output goes to build/bench/NAME.log."""
    with (BUILD / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        try:
            yield process.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_until_serving(port: int, timeout_s: float = 60.0) -> float:
    """Wait for the first 200 of a chat request; returns the seconds it took.

    Raises:
        TimeoutError: it did not come.
    """
    since_s = time.monotonic()
    body = {"model": MODEL, "messages": [{"role": "user", "content": "mock:n=1"}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {KEY}"},
    )
    last = ""
    while time.monotonic() - since_s < timeout_s:
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                if answer.status == 200:
                    return time.monotonic() - since_s
        except (urllib.error.URLError, OSError) as error:
            last = str(error)
        time.sleep(0.01)
    raise TimeoutError(f"nothing served on port {port} within {timeout_s:g} s: {last}")


def tree(pid: int) -> list[int]:
    """Return `pid` and all its descendants."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_seconds(pid: int, members: Sequence[int] | None = None) -> float:
    """Return user plus system time of the process tree, or of some of it, seconds."""
    total = 0
    for member in tree(pid) if members is None else members:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss_mb(pid: int) -> float:
    """Return the resident memory of the process tree, MB."""
    total = 0
    for member in tree(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pages = Path(f"/proc/{member}/statm").read_text().split()[1]
            total += int(pages) * os.sysconf("SC_PAGE_SIZE")
    return total / 1e6
