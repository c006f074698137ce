"""What it takes to start an engine: plain data, so that every target can use it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Launch:
    """One engine process that speaks vLLM's HTTP dialect on loopback.

    `argv` is complete (no shell), `env` holds additions to the environment, `url` is where it
    will listen (`http://127.0.0.1:PORT`), `served_model` the name it answers to, and
    `ready_timeout_s` how long `GET /health` may take to turn 200.
    """

    argv: tuple[str, ...]
    url: str
    served_model: str
    ready_timeout_s: float
    env: Mapping[str, str] = field(default_factory=dict)
