"""The gateway beside nginx and vllm-router over the same mock engines, on the same core.

    python -m bench.gateway [--rounds 3] [--seconds 4] [--only streams] [--ledger] [--audit]

Rounds are interleaved and medians taken. Processor time of the whole process tree is the figure
that drifts least on a shared machine; the ratios of one run are what counts.
"""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import contenders
from bench.stand import (
    Cores,
    build_tools,
    cpu_seconds,
    free_port,
    load,
    rss_mb,
    running,
    tree,
    wait_until_serving,
)

Contender = Callable[[Sequence[int], Cores], AbstractContextManager[tuple[int, int]]]


@dataclass(frozen=True)
class Scenario:
    """One load: arguments of the load client and what is read from its answer."""

    name: str
    figure: str
    unit: str
    arguments: tuple[str, ...]
    read: Callable[[dict, float], float]  # type: ignore[type-arg]
    higher_is_better: bool = True
    own: bool = False
    """Whether `cpu` is that of the contender's first process alone, without those beside it."""


def _stream(connections: int, prompt: str, *more: str) -> tuple[str, ...]:
    return ("-c", str(connections), "-s", "-b", f"mock:{prompt}", *more)


SCENARIOS = (
    Scenario(
        "requests",
        "requests per CPU-second, 32 connections",
        "/s",
        ("-c", "32", "-b", "mock:n=1"),
        lambda out, cpu: out["all_ok"] / cpu,
    ),
    Scenario(
        "rate",
        "requests/s, 128 connections",
        "/s",
        ("-c", "128", "-b", "mock:n=1"),
        lambda out, cpu: out["rps"],
    ),
    Scenario(
        "idle",
        "p50 at low load (1 connection)",
        "us",
        ("-c", "1", "-r", "200", "-b", "mock:n=1"),
        lambda out, cpu: out["lat_us"]["p50"],
        higher_is_better=False,
    ),
    Scenario(
        "streams",
        "CPU-seconds per million chunks, 200 streams x 10 ms",
        "s",
        _stream(200, "n=100,d=10000"),
        lambda out, cpu: cpu / out["all_chunks"] * 1e6,
        higher_is_better=False,
    ),
    Scenario(
        "flat",
        "chunks/s flat out, 8 streams",
        "/s",
        _stream(8, "n=1000,d=0"),
        lambda out, cpu: out["cps"],
    ),
    Scenario(
        "ttft",
        "TTFT p99, 500 streams x 10 ms",
        "us",
        _stream(500, "n=100,d=10000", "-R", "1000"),
        lambda out, cpu: out["ttft_us"]["p99"],
        higher_is_better=False,
    ),
)


class Bench:
    """One run: all contenders stand ready, the load goes to one at a time."""

    def __init__(self, seconds: float, cores: Cores) -> None:
        self._mock, _ = build_tools()
        self._seconds, self._cores = seconds, cores
        self._ports: dict[str, tuple[int, int | None]] = {}

    def start(self, stack: ExitStack, names: dict[str, Contender]) -> dict[str, float]:
        """Start the mock engines and the contenders; returns seconds to the first 200."""
        engines = (free_port(), free_port())
        mock = [str(self._mock), *map(str, engines)]
        stack.enter_context(running(Cores.pin(self._cores.tools, mock), "mock"))
        wait_until_serving(engines[0])
        self._ports["direct"] = (engines[0], None)
        starts = {}
        for name, contender in names.items():
            since_s = time.monotonic()
            port, pid = stack.enter_context(contender(engines, self._cores))
            wait_until_serving(port)
            starts[name] = time.monotonic() - since_s
            self._ports[name] = (port, pid)
        return starts

    def spread(self, name: str) -> None:
        """Let what a contender has started beside itself run where the tools do."""
        _, pid = self._ports[name]
        core = self._cores.tools
        if pid is None or core is None:
            return
        for member in tree(pid)[1:]:
            for task in Path(f"/proc/{member}/task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                    os.sched_setaffinity(int(task.name), {int(core)})

    def measure(self, name: str, scenario: Scenario) -> tuple[float, dict]:  # type: ignore[type-arg]
        """Return the figure of one contender and the load client's whole answer.

        Raises:
            RuntimeError: an answer was wrong, cut or out of order.
        """
        port, pid = self._ports[name]
        members = [pid] if scenario.own and pid else None
        before = cpu_seconds(pid, members) if pid else 0.0
        out = load(port, self._cores, *scenario.arguments, "-d", str(self._seconds), "-w", "1")
        cpu = (cpu_seconds(pid, members) - before if pid else 0.0) or 1e-9
        if out["bad"] or out["trunc"] or out["conn_err"]:
            raise RuntimeError(f"{name}, {scenario.name}: {out}")
        return scenario.read(out, cpu), out

    def resident_mb(self, name: str) -> float:
        """Return the memory of a contender, MB."""
        pid = self._ports[name][1]
        return rss_mb(pid) if pid else 0.0

    def soak(self, requests: int) -> tuple[float, float]:
        """Send many requests to Penstock; returns its memory before and after, MB."""
        before = self.resident_mb("penstock")
        port = self._ports["penstock"][0]
        load(port, self._cores, "-c", "32", "-n", str(requests), "-d", "590", "-b", "mock:n=1")
        return before, self.resident_mb("penstock")


def main() -> int:
    """Run the bench and print a table in Markdown; returns the exit code."""
    options = _options()
    contenders.install_nginx()
    names: dict[str, Contender] = {
        "nginx": contenders.nginx,
        "vllm-router": contenders.vllm_router,
        "penstock": contenders.penstock,
    }
    if options.ledger:
        names["penstock+ledger"] = contenders.penstock_ledger
    if options.audit:
        names["penstock+audit"] = partial(contenders.penstock_ledger, audited=True)
    if options.litellm:
        names["litellm"] = contenders.litellm
    chosen = [s for s in SCENARIOS if not options.only or s.name in options.only]
    with ExitStack() as stack:
        bench = Bench(options.seconds, Cores.choose())
        starts = bench.start(stack, names)
        idle_mb = {name: bench.resident_mb(name) for name in names}
        figures = _rounds(bench, chosen, names, options.rounds)
        soak = bench.soak(1_000_000) if options.soak else None
    for line in _report(figures, chosen, list(names)):
        print(line)
    print()
    for name in names:
        print(f"- {name}: first 200 after {starts[name]:.2f} s, {idle_mb[name]:.0f} MB when idle")
    if soak:
        print(f"- penstock, 1,000,000 requests: {soak[0]:.0f} MB before, {soak[1]:.0f} MB after")
    return 0


def _rounds(
    bench: Bench, chosen: list[Scenario], names: dict[str, Contender], rounds: int
) -> dict[tuple[str, str], list[float]]:
    figures: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds):
        for scenario in chosen:
            for name in names:
                if name == "litellm" and scenario.name not in ("requests", "rate"):
                    continue  # it saturates at a thousandth of the streams' load
                print(f"round {number + 1}: {scenario.name}, {name}", file=sys.stderr)
                figure, _ = bench.measure(name, scenario)
                figures.setdefault((scenario.name, name), []).append(figure)
    return figures


def _report(
    figures: dict[tuple[str, str], list[float]], chosen: list[Scenario], names: list[str]
) -> Iterator[str]:
    yield f"{time.strftime('%Y-%m-%d')}, {_processor()}, Python {platform.python_version()}; "
    yield f"medians of {len(next(iter(figures.values())))} interleaved rounds, one core each."
    yield ""
    others = [name for name in names if name != "penstock"]
    ratios = " | ".join(f"against {name}" for name in others)
    yield f"| figure | {' | '.join(names)} | {ratios} |"
    yield "|---" * (1 + len(names) + len(others)) + "|"
    for scenario in chosen:
        cells = []
        for name in names:
            values = figures.get((scenario.name, name))
            cells.append(f"{statistics.median(values):,.4g} {scenario.unit}" if values else "-")
        ours = figures[scenario.name, "penstock"]
        for other in others:
            theirs = figures.get((scenario.name, other))
            ratio = (
                statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
                if theirs
                else None
            )
            cells.append(f"x {ratio:.2f}" if ratio is not None else "-")
        better = "more" if scenario.higher_is_better else "less"
        yield f"| {scenario.figure} ({better} is better) | {' | '.join(cells)} |"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    parser.add_argument("--only", nargs="*", choices=[s.name for s in SCENARIOS])
    parser.add_argument("--ledger", action="store_true", help="also with budgets and ledger on")
    parser.add_argument("--audit", action="store_true", help="also with a sealed audit besides")
    parser.add_argument("--litellm", action="store_true", help="also LiteLLM's proxy")
    parser.add_argument("--soak", action="store_true", help="memory over 1,000,000 requests")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
