"""The leash by itself: a pipe, a process, and what it leaves behind."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.fakes.marked import wait_until

from penstock.targets.local.child import LEASH
from penstock.targets.local.leash import Group

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="Linux alone ties a process to its parent's life; elsewhere leash.py gives this up",
)


def leash(log: Path, *argv: str, grace_s: float = 0.3, max_bytes: int = 10_000_000):  # type: ignore[no-untyped-def]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(LEASH), str(grace_s), str(log), str(max_bytes), *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", code)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(3)", 3),
        ("pass", 0),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os; os.kill(os.getpid(), 11)", 139),
    ],
)
def test_it_passes_on_how_the_process_ended(tmp_path: Path, code: str, expected: int) -> None:
    with leash(tmp_path / "log", *python(code)) as held:
        assert held.wait(timeout=60) == expected


def test_a_program_that_is_missing(tmp_path: Path) -> None:
    with leash(tmp_path / "log", "/no/such/program") as held:
        assert held.wait(timeout=60) == 127
    assert "cannot start /no/such/program: No such file" in (tmp_path / "log").read_text()


def test_it_starts_fast(tmp_path: Path) -> None:
    """Told by the processor's time: how long a machine lets it wait is not its doing."""

    def spent_s() -> float:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    took_s = []
    for _ in range(5):
        before_s = spent_s()
        with leash(tmp_path / "log", "/bin/sh", "-c", ":") as held:
            held.wait(timeout=60)
        took_s.append(spent_s() - before_s)
    assert min(took_s) < 0.1  # 0.02 to 0.03 on a quiet machine


def test_end_of_file_ends_the_group_and_the_deserters(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "argv = [sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)']\n"
        "print(subprocess.Popen(argv).pid, flush=True)\n"
        "print(subprocess.Popen(argv, start_new_session=True).pid, flush=True)\n"
        "time.sleep(600)"
    )
    log = tmp_path / "log"
    with leash(log, *python(code), grace_s=60) as held:
        wait_until(lambda: log.exists() and log.read_text().count("\n") == 2)
        pids = [int(held.stdout.readline()), *map(int, log.read_text().split())]
        assert all(psutil.pid_exists(pid) for pid in pids)
        held.stdin.close()
        assert held.wait(timeout=60) == 128 + signal.SIGTERM
    reached = pids if sys.platform.startswith("linux") else pids[:2]
    assert not any(psutil.pid_exists(pid) for pid in reached)


@linux_only
def test_it_ends_what_a_dead_process_leaves_behind(tmp_path: Path) -> None:
    log = tmp_path / "log"
    argv = "sleep 600 & echo $!; setsid sleep 600 & echo $!; exit 5"
    with leash(log, "/bin/sh", "-c", argv) as held:
        assert held.wait(timeout=60) == 5
    assert not any(psutil.pid_exists(int(pid)) for pid in log.read_text().split())


@pytest.mark.parametrize(("number", "at_least_s"), [(signal.SIGTERM, 0.3), (signal.SIGQUIT, 0)])
def test_who_ignores_the_request_is_killed(tmp_path: Path, number: int, at_least_s: float) -> None:
    log = tmp_path / "log"
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)\n"
    with leash(log, *python(code + "time.sleep(600)")) as held:
        wait_until(lambda: log.exists() and log.read_text())
        begun_s = time.monotonic()
        held.send_signal(number)
        assert held.wait(timeout=60) == 128 + signal.SIGKILL
        assert at_least_s <= time.monotonic() - begun_s


def test_a_group_that_is_gone_before_the_signal_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["/bin/sh", "-c", ":"], start_new_session=True) as gone:
        gone.wait(timeout=60)
    monkeypatch.setattr(Group, "remains_in_group", lambda _: True)  # as it was a moment ago
    # Those of this process are what other tests go on with.
    monkeypatch.setattr("penstock.targets.local.leash.descendants", lambda _: [])
    Group(gone.pid).signal(signal.SIGTERM)


@linux_only
def test_a_killed_leash_kills_its_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with leash(log, *python("import time; print(1, flush=True); time.sleep(600)")) as held:
        pid = int(held.stdout.readline())
        wait_until(lambda: log.exists() and log.read_text())
        held.kill()
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"))


def test_the_log_stays_within_bounds(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with leash(log, *python("for i in range(20000): print(i)"), max_bytes=65536) as held:
        held.wait(timeout=60)
    assert log.stat().st_size < 3 * 65536
    assert (tmp_path / "log.1").exists()
    assert (log.read_text() or (tmp_path / "log.1").read_text()).endswith("19999\n")
