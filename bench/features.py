"""What everything that several tenants need costs: the gateway with all of it against without.

    python -m bench.features [--rounds 3] [--seconds 4] [--together]

One run: requests a second and a CPU-second at 128 connections, the median latency at low load,
and the start and look-up with 10,000 tenants and 100,000 keys. See `contenders.penstock_features`
for what is on. What writes the ledger and the audit is a process beside the gateway, on the other
core; its time is in the requests a CPU-second, and not in those of the gateway's own process.
Rounds are interleaved, each in an order of its own; the ratios of a round are what counts, and how
far they lie apart. After `make compiled`, `PYTHONPATH=build/compiled` measures the gateway as its
image has it.

Two cores of a virtual machine may be two threads of one real core: then whatever works on one
takes from the other, and the gateway pays for its client, its engine and the process beside. How
much so is measured and told first. `--together` has all on one core, one after the other: requests
a second then tell of the client and the engine as much as of the gateway, but the time of its own
process is undisturbed.
"""

import argparse
import random
import statistics
import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from bench import contenders, directory, siblings
from bench.gateway import Bench, Contender, Scenario
from bench.stand import BUILD, Cores

CONTENDERS: dict[str, Contender] = {
    "without": contenders.penstock,
    "ledger and budgets": contenders.penstock_ledger,
    "all": contenders.penstock_features,
    "all, routed": partial(contenders.penstock_features, routed=True),
}
RATE = Scenario(
    "rate",
    "requests/s, 128 connections",
    "/s",
    ("-c", "128", "-b", "mock:n=1"),
    lambda out, cpu: out["rps"],
)
CPU = Scenario(
    "cpu",
    "requests per CPU-second, 128 connections",
    "/s",
    RATE.arguments,
    lambda out, cpu: out["all_ok"] / cpu,
)
OWN = replace(
    CPU, name="own", figure="requests per CPU-second of the gateway's own process", own=True
)
IDLE = Scenario(
    "idle",
    "p50 at low load",
    "us",
    ("-c", "1", "-r", "200", "-b", "mock:n=1"),
    lambda out, cpu: out["lat_us"]["p50"],
    higher_is_better=False,
)
SCENARIOS = (RATE, CPU, OWN, IDLE)


def main() -> int:
    """Measure and print tables in Markdown; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.features", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    parser.add_argument("--together", action="store_true", help="all on one core")
    options = parser.parse_args()
    slowed = siblings.slowed(5)
    if slowed:
        print(
            f"A loop on one core is {_ratio(slowed)} as fast while another keeps the other busy.\n"
        )
    BUILD.mkdir(parents=True, exist_ok=True)
    figures: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        bench = Bench(options.seconds, Cores.same() if options.together else Cores.choose())
        bench.start(stack, CONTENDERS)
        for name in CONTENDERS:
            bench.spread(name)
        for number in range(options.rounds):
            for scenario in SCENARIOS:
                for name in random.sample(list(CONTENDERS), len(CONTENDERS)):
                    print(f"round {number + 1}: {scenario.name}, {name}", file=sys.stderr)
                    figure, _ = bench.measure(name, scenario)
                    figures.setdefault((scenario.name, name), []).append(figure)
    _report(figures)
    for line in directory.report(10_000, 100_000, options.rounds):
        print(line)
    return 0


def _ratio(ratios: list[float]) -> str:
    if len(ratios) < 4:
        return f"x {statistics.median(ratios):.2f}"
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"x {middle:.2f} ({low:.2f} to {high:.2f})"


def _report(figures: dict[tuple[str, str], list[float]]) -> None:
    others = [name for name in CONTENDERS if name != "without"]
    print(
        f"| figure | {' | '.join(CONTENDERS)} | {' | '.join(f'{n} / without' for n in others)} |"
    )
    print("|---" * (1 + len(CONTENDERS) + len(others)) + "|")
    for scenario in SCENARIOS:
        cells = [
            f"{statistics.median(figures[scenario.name, name]):,.0f} {scenario.unit}"
            for name in CONTENDERS
        ]
        base = figures[scenario.name, "without"]
        for name in others:
            pairs = list(zip(figures[scenario.name, name], base, strict=True))
            if scenario is IDLE:
                cells.append(f"{statistics.median(a - b for a, b in pairs):+.0f} us")
            else:
                cells.append(_ratio([a / b for a, b in pairs]))
        print(f"| {scenario.figure} | {' | '.join(cells)} |")
    print()


if __name__ == "__main__":
    raise SystemExit(main())
