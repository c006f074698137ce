"""A `LocalStack` of stand-in processes, and programs that run it as `penstock` would.

`python local_stack.py supervise DIRECTORY MARK ENGINE_MODE [GATEWAY_MODE]` runs a supervisor and
prints its events; SIGUSR1 makes it hang. `python local_stack.py cli MARK ENGINE_MODE -- up ...` is
the command line with this stack in the place of the real one.
"""

import asyncio
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from penstock.engines.launch import Launch
from penstock.ground.clock import Clock, monotonic
from penstock.ground.errors import PenstockError
from penstock.manifest.model import Gateway, Manifest
from penstock.targets.local.backoff import Backoff
from penstock.targets.local.event import Event
from penstock.targets.local.keeper import Timings
from penstock.targets.local.ports import free_port
from penstock.targets.local.stack import LocalStack
from penstock.targets.local.supervisor import Supervisor

SERVICE = Path(__file__).with_name("service_process.py")
DEFAULT_PORT = Gateway().port
QUICK = Timings(
    poll_s=0.02, tell_s=0.2, warm_s=60, grace_s=0.5, watch_s=0.1, answer_s=1.0, hung_after=5
)
"""A service that stands still for three seconds, as on a busy machine, does not hang yet."""


def quick_backoff() -> Backoff:
    return Backoff(first_s=0.05, cap_s=0.2)


def launch(mode: str, mark: str, port: int = 0, ready_timeout_s: float = 60) -> Launch:
    port = port or free_port()
    return Launch(
        argv=(sys.executable, "-I", "-S", str(SERVICE), str(port), mode, mark),
        url=f"http://127.0.0.1:{port}",
        served_model="fake",
        ready_timeout_s=2.0 if mode == "deaf" else ready_timeout_s,
    )


def fake_stack(
    directory: Path, mark: str, engine: str = "good", gateway: str = "good", port: int = 0
) -> LocalStack:
    return LocalStack(
        name="demo",
        engines=(launch(engine, mark),) if engine != "none" else (),
        gateway=launch(gateway, mark, port),
        api_key="sk-fake",
        model="fake",
        directory=directory,
        files={directory / ".penstock/gateway.json": b"{}"},
        engine_url="http://127.0.0.1:9" if engine == "none" else "",
    )


def tell(event: Event) -> None:
    print(event.service, event.phase, event.text, flush=True)


def when_heard(directory: Path) -> Clock:
    """A clock that stands still until a deaf service has said its line, and is late then."""

    def clock() -> float:
        logs = (directory / ".penstock/logs").glob("*.log")
        return 60.0 if any("deaf listens" in log.read_text() for log in logs) else 0.0

    return clock


def supervise(directory: str, mark: str, engine: str, gateway: str = "good") -> int:
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(600))
    stack = fake_stack(Path(directory), mark, engine, gateway)
    clock = when_heard(stack.directory) if "deaf" in (engine, gateway) else monotonic
    timings = replace(QUICK, grace_s=600.0) if engine == "stubborn" else QUICK
    run = Supervisor(stack, report=tell, clock=clock, timings=timings, backoff=quick_backoff).run()
    try:
        return 0 if asyncio.run(run) else 130
    except PenstockError as error:
        print(f"error {type(error).__name__}: {error}", flush=True)
        return 1


def run_cli(mark: str, engine: str, _: str, *arguments: str) -> int:
    import penstock.wiring.local
    from penstock.cli.app import main

    def stand_in(manifest: Manifest, directory: Path, **_: Any) -> LocalStack:
        port = manifest.gateway.port
        return fake_stack(directory, mark, engine, port=0 if port == DEFAULT_PORT else port)

    vars(penstock.wiring.local)["local_stack"] = stand_in
    return main(arguments)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    sys.exit(supervise(*rest) if what == "supervise" else run_cli(*rest))
