"""A `LocalStack` of stand-in processes, and programs that run it as `penstock` would.

`python local_stack.py supervise DIRECTORY MARK ENGINE_MODE [GATEWAY_MODE]` runs a supervisor and
prints its events; `python local_stack.py cli MARK ENGINE_MODE -- up --detach ...` is the command
line with this stack in the place of the real one.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from penstock.engines.launch import Launch
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
    poll_s=0.02, tell_s=0.2, warm_s=60, grace_s=0.5, watch_s=0.1, answer_s=1.0, hung_after=3
)


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


def supervise(directory: str, mark: str, engine: str, gateway: str = "good") -> int:
    stack = fake_stack(Path(directory), mark, engine, gateway)
    run = Supervisor(stack, report=tell, timings=QUICK, backoff=quick_backoff).run()
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
