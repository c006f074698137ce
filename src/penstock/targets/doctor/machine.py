"""This machine: ports, what the engine needs, what runs here and what it wrote."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.ground.errors import MachineError
from penstock.targets.doctor.finding import Finding, bad, doubtful, good, unseen
from penstock.targets.local import logs
from penstock.targets.local.child import Fate
from penstock.targets.local.diagnosis import remedy, telling
from penstock.targets.local.ports import check_free
from penstock.targets.local.state import RunState

LINES = 400
_NO_REMEDY = "Its log says more"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen; `blocked` says why the port cannot be had, `tails` are logs by service."""

    port: int
    blocked: str
    state: RunState | None
    tails: dict[str, list[str]]
    memory_gib: float
    weights_gib: float | None
    free_gib: float
    to_fetch_gib: float


def blocked(host: str, port: int) -> str:
    """Why nothing can listen there; "" where something can."""
    if port == 0:
        return ""
    try:
        check_free(f"http://{host}:{port}", what="the gateway", fix="")
    except MachineError as error:
        return error.why
    return ""


def tails(directory: Path) -> dict[str, list[str]]:
    """The last lines of every log of the stack that runs or ran in `directory`."""
    found = sorted(logs.folder(directory).glob("*.log"))
    return {path.stem: logs.tail(path, LINES) for path in found}


def check(facts: Facts) -> Iterator[Finding]:
    """Whether a stack can run here, and how the one that does is."""
    yield _port(facts)
    yield from _memory(facts)
    yield from _disk(facts)
    yield from _running(facts)


def _port(facts: Facts) -> Finding:
    evidence = f"port {facts.port}: {facts.blocked or 'free'}"
    if facts.state is not None:
        return good("machine.port", f"{facts.state.name} listens at {facts.state.url}", evidence)
    if facts.blocked:
        fix = "End what holds it, or set gateway.port (0 takes a free one)."
        return bad("machine.port", f"port {facts.port} is taken", evidence, fix)
    return good("machine.port", f"port {facts.port} is free", evidence)


def _memory(facts: Facts) -> Iterator[Finding]:
    if facts.weights_gib is None or facts.state is not None:
        return
    evidence = f"{facts.memory_gib:.1f} GiB of memory to be had, weights {facts.weights_gib:.1f}"
    if facts.weights_gib > facts.memory_gib * 0.9:
        fix = "Serve a smaller model, quantise it, or free memory."
        yield bad("machine.memory", "the model does not fit this machine", evidence, fix)
    elif facts.weights_gib > facts.memory_gib * 0.6:
        says = "the model takes most of this machine's memory"
        yield doubtful("machine.memory", says, evidence, "Lower model.context if it runs out.")
    else:
        yield good("machine.memory", "the model fits this machine's memory", evidence)


def _disk(facts: Facts) -> Iterator[Finding]:
    if not facts.to_fetch_gib:
        return
    evidence = f"{facts.free_gib:.1f} GiB free, {facts.to_fetch_gib:.1f} to be fetched"
    if facts.to_fetch_gib > facts.free_gib:
        yield bad("machine.disk", "the disk is too full", evidence, "Free some, or set HF_HOME.")
    else:
        yield good("machine.disk", "the disk has room for what is fetched", evidence)


def _running(facts: Facts) -> Iterator[Finding]:
    if facts.state is None:
        for name, lines in facts.tails.items():
            if advice := _advice(lines):
                evidence = " | ".join(telling(lines)[:3])
                yield doubtful("machine.last-run", f"{name} of the last run", evidence, advice)
        return
    for service in facts.state.services:
        evidence = f"{service.name} is {service.phase}, restarts: {service.restarts}"
        if service.last_end:
            evidence += f", last {service.last_end}"
        lines = facts.tails.get(service.name, [])
        if service.phase not in ("ready", "warm", "serving") and service.pid is None:
            fix = _advice(lines) or "Read its log: `penstock logs`."
            yield bad("machine.service", f"{service.name} does not run", evidence, fix)
        elif service.restarts:
            fix = _advice(lines) or "Read its log: `penstock logs`."
            says = f"{service.name} was started {service.restarts} times again"
            yield doubtful("machine.service", says, evidence, fix)
        else:
            yield good("machine.service", f"{service.name} runs", evidence)


def _advice(lines: list[str]) -> str:
    found = remedy(Fate(), lines) if lines else _NO_REMEDY
    return "" if found == _NO_REMEDY else found


def check_engine(kind: str, problem: MachineError | None, where: str) -> Finding:
    """Whether the engine can be started here."""
    if problem is None:
        return good("machine.engine", f"the {kind} engine can run here", where)
    return bad("machine.engine", problem.what, problem.why or where, problem.fix)


def check_server(url: str, models: list[str], problem: str) -> Finding:
    """Whether the server that runs elsewhere answers."""
    if problem:
        return bad("machine.server", f"nothing answers at {url}", problem, "Start it.")
    if not models:
        return unseen("machine.server", f"{url} names no model", "/v1/models")
    return good("machine.server", f"{url} serves {', '.join(models[:5])}", "/v1/models")
