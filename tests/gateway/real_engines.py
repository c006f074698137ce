"""A gateway over an engine that computes: the embedded one or the real vLLM."""

import re
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.gateway.gateway_process import GatewayProcess

MODEL = Path("src/penstock/engines/embedded/model").resolve()
NAME = "penstock-tiny"
MATHS = "ps-maths-secret"
"""Key of a tenant for whom the gateway runs `calculate_math` alone."""


@dataclass(frozen=True)
class RealEngine:
    """One running engine with the shipped model and the gateway before it."""

    kind: str
    url: str
    gateway: GatewayProcess

    def running(self) -> float:
        """What the engine itself says of the requests it computes or holds."""
        return self.metric("num_requests_running") + self.metric("num_requests_waiting")

    def metric(self, name: str) -> float:
        """The engine's own `vllm:NAME`."""
        text = httpx.get(f"{self.url}/metrics", timeout=60).text
        found = re.findall(rf"^vllm:{name}(?:{{.*}})? (\S+)$", text, re.M)
        assert found, f"no vllm:{name}"
        return sum(map(float, found))
