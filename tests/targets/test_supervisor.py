"""The supervisor with real processes: what it started is gone, whatever happens to it."""

import os
import signal
import socket
import time

import psutil
import pytest
from tests.fakes.local_stack import fake_stack
from tests.fakes.marked import Marked, wait_until

from penstock.ground.errors import MachineError
from penstock.targets.local.state import claim, read_state

READY = "stack ready"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("engine", ["good", "family"])
def test_a_signal_ends_everything(marked: Marked, number: int, engine: str) -> None:
    supervisor = marked.supervise(engine)
    marked.until(READY)
    assert len(marked.engines()) == 2
    assert (marked.directory / ".penstock/gateway.json").stat().st_mode & 0o777 == 0o600
    supervisor.send_signal(number)
    marked.rest()
    assert supervisor.returncode == 0
    assert marked.processes() == []
    assert read_state(marked.directory) is None
    assert not (marked.directory / ".penstock/gateway.json").exists()


def test_only_what_it_started_ends(marked: Marked) -> None:
    stranger = Marked(marked.directory / "other")
    stranger.directory.mkdir()
    try:
        stranger.supervise()
        stranger.until(READY)
        marked.supervise()
        marked.until(READY)
        assert marked.supervisor
        marked.supervisor.terminate()
        marked.rest()
        assert len(stranger.engines()) == 2
    finally:
        assert stranger.supervisor
        stranger.supervisor.terminate()
        stranger.rest()


def test_sigkill_leaves_nothing(marked: Marked) -> None:
    supervisor = marked.supervise("family")
    marked.until(READY)
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: marked.processes() == [])
    assert read_state(marked.directory) is None
    with claim(marked.directory):
        assert not (marked.directory / ".penstock/run.json").exists()


def test_a_second_signal_kills_at_once(marked: Marked) -> None:
    supervisor = marked.supervise("stubborn")
    marked.until(READY)
    supervisor.send_signal(signal.SIGINT)
    marked.until("engine stopping")
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(timeout=60) == 0
    assert marked.processes() == []


def test_a_signal_while_it_starts(marked: Marked) -> None:
    supervisor = marked.supervise("slow")
    marked.until("engine starting waiting")
    supervisor.send_signal(signal.SIGINT)
    marked.rest()
    assert supervisor.returncode == 130
    assert marked.processes() == []


@pytest.mark.parametrize("victim", ["engine", "gateway"])
def test_a_dead_service_is_started_again(marked: Marked, victim: str) -> None:
    marked.supervise("family")
    marked.until(READY)
    before = {service.name: service for service in _services(marked)}
    os.kill(before[victim].pid or 0, signal.SIGKILL)
    heard = marked.until(f"{victim} ready")
    assert f"{victim} restarting ended with signal SIGKILL; starts again in" in heard
    after = {service.name: service for service in _services(marked)}
    assert after[victim].restarts == 1
    assert after[victim].pid != before[victim].pid
    other = "gateway" if victim == "engine" else "engine"
    assert after[other] == before[other]
    sleepers = [one for one in marked.processes() if "sleep" in str(one.cmdline())]
    assert len(sleepers) == 2, "what the dead engine had started is gone"


@pytest.mark.parametrize("victim", ["engine", "gateway"])
def test_a_hung_service_is_started_again(marked: Marked, victim: str) -> None:
    marked.supervise()
    marked.until(READY)
    before = {service.name: service for service in _services(marked)}
    os.kill(before[victim].pid or 0, signal.SIGUSR1)
    heard = marked.until(f"{victim} ready")
    assert f"{victim} restarting hung: it answered no probe, and was ended" in heard
    after = {service.name: service for service in _services(marked)}
    assert after[victim].restarts == 1
    assert not psutil.pid_exists(before[victim].pid or 0)


def test_a_short_hang_is_forgiven(marked: Marked) -> None:
    marked.supervise()
    marked.until(READY)
    engine = next(service for service in _services(marked) if service.name == "engine")
    for _ in range(4):
        os.kill(engine.pid or 0, signal.SIGSTOP)
        time.sleep(0.5)  # less than one unanswered probe
        os.kill(engine.pid or 0, signal.SIGCONT)
        time.sleep(0.3)
    assert {service.restarts for service in _services(marked)} == {0}


def test_a_killed_leash_takes_its_engine_along(marked: Marked) -> None:
    marked.supervise("good")
    marked.until(READY)
    (engine, *_) = [one for one in _services(marked) if one.name == "engine"]
    leash = psutil.Process(engine.pid).parent()
    assert leash is not None
    leash.kill()
    marked.until("engine ready")
    assert len(marked.engines()) == 2


@pytest.mark.parametrize(
    ("engine", "gateway", "words"),
    [
        (
            "dies",
            "good",
            ["EngineDied: engine stopped before", "exit code 3", "model.id", "| Val"],
        ),
        ("deaf", "good", ["EngineUnavailable: engine was not ready after", "| deaf listens"]),
        ("cold", "good", ["EngineUnavailable: engine does not answer a first", "HTTP 500"]),
        ("good", "dies", ["EngineDied: gateway stopped before", "exit code 3"]),
        ("good", "deaf", ["EngineUnavailable: gateway was not ready"]),
    ],
)
def test_a_failed_start_says_why(
    marked: Marked, engine: str, gateway: str, words: list[str]
) -> None:
    supervisor = marked.supervise(engine, gateway)
    heard = marked.rest()
    assert supervisor.returncode == 1
    for word in words:
        assert word in heard, heard
    assert marked.processes() == []
    assert read_state(marked.directory) is None


def test_a_gateway_before_a_foreign_engine(marked: Marked) -> None:
    marked.supervise("none")
    marked.until(READY)
    state = read_state(marked.directory)
    assert state is not None
    assert state.engine_url == "http://127.0.0.1:9"
    assert [service.name for service in state.services] == ["gateway"]


def test_the_engine_is_warm_before_the_gateway_starts(marked: Marked) -> None:
    supervisor = marked.supervise()
    heard = marked.until(READY)
    steps = ["engine starting", "engine warming", "engine ready", "gateway starting", READY]
    places = [heard.index(step) for step in steps]
    assert places == sorted(places)
    supervisor.terminate()
    marked.rest()
    log = (marked.directory / ".penstock/logs/engine.log").read_text()
    assert log.count("completion /v1/completions") == 1


def test_a_second_stack_is_refused(marked: Marked) -> None:
    marked.supervise()
    marked.until(READY)
    state = read_state(marked.directory)
    assert state is not None
    second = Marked(marked.directory)
    second.supervise()
    heard = second.rest()
    assert f"MachineError: demo already runs here: {state.url} (pid {state.pid})" in heard
    assert "penstock down" in heard
    assert read_state(marked.directory) == state


async def test_a_port_in_use_names_its_holder(marked: Marked) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = fake_stack(marked.directory, marked.mark, "none", port=port)
        from penstock.targets.local.supervisor import Supervisor

        with pytest.raises(MachineError) as caught:
            await Supervisor(stack, report=lambda _: None).run()
    assert f"gateway cannot listen on port {port}" in str(caught.value)
    assert f"(pid {os.getpid()})" in str(caught.value)
    assert "--port" in str(caught.value)
    assert marked.processes() == []


def _services(marked: Marked):  # type: ignore[no-untyped-def]
    state = read_state(marked.directory)
    assert state is not None
    return state.services
