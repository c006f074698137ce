"""What the tool loop costs, over the mock engine and a tool that sleeps.

    python -m bench.turns [--rounds 3] [--seconds 3]

The engine and the client share one core, the gateway has the other. The engine answers at once, so
what is measured is the gateway: with a real engine, which takes seconds, the same costs vanish.
"""

import argparse
import contextlib
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bench.contenders import base_settings
from bench.stand import (
    BUILD,
    Cores,
    build_tools,
    cpu_seconds,
    free_port,
    load,
    running,
    wait_until_serving,
)

TOOL_S = 0.1
MANY = 200
TEXT = "n=20,d=10000"
"""An engine that writes twenty pieces, one every 10 ms, as in the other scenarios."""


@dataclass(frozen=True)
class Figure:
    """One figure: what it is, how it came out, what it should be."""

    name: str
    value: float
    unit: str
    most: float | None = None

    def row(self) -> str:
        """Return it as a row of the table."""
        bound = "" if self.most is None else f"<= {self.most:g} {self.unit}"
        return f"| {self.name} | {self.value:.3g} {self.unit} | {bound} |"


class Stand:
    """The mock engine, and a gateway whose tool takes no time and one whose tool takes 100 ms."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._cores = seconds, Cores.choose()
        self._ports: dict[str, tuple[int, int]] = {}

    def start(self, stack: contextlib.ExitStack) -> None:
        """Start everything."""
        mock, _ = build_tools()
        engine = free_port()
        pid = stack.enter_context(
            running(Cores.pin(self._cores.tools, [str(mock), str(engine)]), "mock")
        )
        wait_until_serving(engine)
        self._ports["engine"] = engine, pid
        for name, tool_s in (("quick", 0.0), ("slow", TOOL_S)):
            self._ports[name] = stack.enter_context(self._gateway(engine, name, tool_s))

    @contextlib.contextmanager
    def _gateway(self, engine: int, name: str, tool_s: float) -> Iterator[tuple[int, int]]:
        port = free_port()
        settings = base_settings([engine], port)
        settings["tenants"][0]["tools"] = ["get_current_weather"]
        path = BUILD / f"turns-{name}.json"
        path.write_text(json.dumps(settings))
        argv = [sys.executable, "-m", "bench.turns_gateway", str(path), str(tool_s)]
        with running(Cores.pin(self._cores.contender, argv), f"turns-{name}") as pid:
            wait_until_serving(port)
            yield port, pid

    def ask(self, name: str, prompt: str, *arguments: str) -> tuple[dict, float]:  # type: ignore[type-arg]
        """Load one of them; returns the client's answer and CPU-seconds a request.

        Raises:
            RuntimeError: an answer was wrong, cut or out of order.
        """
        port, pid = self._ports[name]
        before = cpu_seconds(pid)
        out = load(port, self._cores, "-b", f"mock:{prompt}", *arguments)
        if out["bad"] or out["trunc"] or out["conn_err"] or not out["all_ok"]:
            raise RuntimeError(f"{name}, {prompt}: {out}")
        return out, (cpu_seconds(pid) - before) / out["all_ok"]

    def p50_ms(self, name: str, prompt: str, *arguments: str) -> float:
        """Return the median time of a request by itself, one after the other."""
        alone = ("-c", "1", "-d", str(self._seconds), "-w", "0.5")
        out, _ = self.ask(name, prompt, *alone, *arguments)
        return float(out["lat_us"]["p50"]) / 1000

    def figures(self) -> list[Figure]:
        """Measure once."""
        one, three = (self.p50_ms("quick", f"n=1,t={rounds}", "-s") for rounds in (1, 3))
        engine = self.p50_ms("engine", "n=1,t=9", "-s")
        alone = ("-s", "-c", "1", "-d", str(self._seconds), "-w", "0.5")
        out, _ = self.ask("quick", f"{TEXT},t=1", *alone)
        figures = [
            Figure("the loop adds, a round, p50", (three - one) / 2 - engine, "ms", 1),
            Figure("text after the engine's, p50", out["transit_us"]["p50"] / 1000, "ms", 5),
            Figure("text after the engine's, p99", out["transit_us"]["p99"] / 1000, "ms", 5),
        ]
        for engine_is, prompt in (("20 pieces x 10 ms", TEXT), ("no time", "n=1")):
            for kind, stream in (("plain", ()), ("streamed", ("-s",))):
                figures += self._many(f"{kind}, engine {engine_is}", f"{prompt},t=1", *stream)
        return figures

    def _many(self, what: str, prompt: str, *stream: str) -> Iterator[Figure]:
        alone = self.p50_ms("slow", prompt, *stream)
        burst = ("-c", str(MANY), "-n", str(MANY), "-d", "20", "-w", "0")
        out, _ = self.ask("slow", prompt, *burst, *stream)
        last = out["lat_us"]["max"] / 1000
        yield Figure(f"{MANY} turns at once, {what}: the last", last / alone, "x one", 1.3)
        steady = ("-c", str(MANY), "-d", str(self._seconds), "-w", "1")
        out, cpu_s = self.ask("slow", prompt, *steady, *stream)
        p50 = out["lat_us"]["p50"] / 1000
        yield Figure(f"{MANY} turns all the time, {what}: p50", p50 / alone, "x one", 1.3)
        yield Figure(f"CPU a turn, {what}", cpu_s * 1e6, "us")


def main() -> int:
    """Measure and print a table in Markdown; returns the exit code."""
    options = _options()
    with contextlib.ExitStack() as stack:
        stand = Stand(options.seconds)
        stand.start(stack)
        rounds = [stand.figures() for _ in range(options.rounds)]
    print("| figure | measured | bound |\n|---|---|---|")
    for same in zip(*rounds, strict=True):
        middle = statistics.median(figure.value for figure in same)
        print(Figure(same[0].name, middle, same[0].unit, same[0].most).row())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.turns", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
