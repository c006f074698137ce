"""What a supervisor runs: plain data, put together by `wiring/local.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock.engines.launch import Launch


@dataclass(frozen=True, slots=True)
class Service:
    """One process to keep alive, and how to see that it may have traffic.

    `name` stands in messages, in `penstock status` and names the log file. `port_remedy` says what
    to do when its port is in use. `warm_model` gets one tiny completion before the service counts
    as ready; none means no warm-up. `alive_path` is asked ever after, whether it still lives.
    """

    name: str
    launch: Launch
    ready_path: str
    port_remedy: str
    warm_model: str | None = None
    alive_path: str = "/health"


@dataclass(frozen=True, slots=True)
class LocalStack:
    """Engines, the gateway before them, and what a client needs to talk to it.

    `engines` is empty when the gateway stands before a server that already runs (its address is
    `engine_url` then). `api_key` is the first of `tenant_keys` (tenant -> key). `files` are
    written with mode 0600 before anything starts and removed when all has stopped; they may hold
    secrets. `.penstock/` is kept inside `directory`.
    """

    name: str
    engines: tuple[Launch, ...]
    gateway: Launch
    api_key: str
    model: str
    directory: Path
    files: Mapping[Path, bytes] = field(default_factory=dict)
    engine_url: str = ""
    tenant_keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where clients on this machine reach the gateway, without `/v1`."""
        return self.gateway.url.replace("//0.0.0.0:", "//127.0.0.1:").replace(
            "//[::]:", "//[::1]:"
        )

    def engine_services(self) -> tuple[Service, ...]:
        """One service an engine: `engine`, or `engine-1`, `engine-2`... of several."""
        many = len(self.engines) > 1
        return tuple(
            Service(
                f"engine-{number}" if many else "engine",
                launch,
                ready_path="/health",
                port_remedy="Start again: another free port is taken",
                warm_model=launch.served_model,
            )
            for number, launch in enumerate(self.engines, 1)
        )

    def gateway_service(self) -> Service:
        """The gateway; ready once it sees an engine."""
        return Service(
            "gateway",
            self.gateway,
            ready_path="/ready",
            port_remedy="End that process, or use another port: `penstock up --port 0` finds one",
        )
