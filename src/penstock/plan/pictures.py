"""What a plan looks like: cost and latency against load, and the memory of one GPU."""

from collections.abc import Iterator
from dataclasses import replace

from penstock.plan.drawing import Chart, Line, Stack, page
from penstock.plan.report import Report
from penstock.sizing.candidate import Candidate, Copy, CopyKey, Scales
from penstock.sizing.serving import open_loop

_POINTS = 32
_MOST_LOAD = 3.0
_MOST_LINES = 4
_BAR = 48


def svg(report: Report) -> str:
    """The whole picture as an SVG document; a line of text where nothing serves the load."""
    best = report.best
    if best is None:
        return page([], f"{report.name}: nothing to draw")
    title = f"{report.name}: {best.machines} x {best.option.name}"
    return page([cost(report), latency(report, best), memory(best)], title, _note(report))


def cost(report: Report) -> Chart:
    """USD a month against load, for the answer and the alternatives worth having."""
    demand = report.demand
    lines: list[Line] = []
    copies: dict[CopyKey, Copy | tuple[str, float]] = {}
    for candidate in report.choice.pareto[:_MOST_LINES]:
        points: list[tuple[float, float]] = []
        for number in range(1, _POINTS + 1):
            rate = demand.requests_per_minute * _MOST_LOAD * number / _POINTS
            wider = replace(demand, requests_per_minute=rate, most_machines=0)
            scales = Scales(wider, report.catalogue, report.calibration, copies)
            found = scales.weigh(candidate.option)
            if isinstance(found, Candidate):
                usd = found.bill.usd_per_month
                points += [(rate, points[-1][1])] if points and points[-1][1] != usd else []
                points.append((rate, usd))
        lines.append(Line(candidate.option.name, points))
    mark = (demand.requests_per_minute, "your load")
    return Chart("Cost against load", "requests/min", "USD/month", lines, mark)


def latency(report: Report, best: Candidate) -> Chart:
    """Time to the first token against load on the machines of the answer, with its bar."""
    demand, calibration = report.demand, report.calibration
    copies = best.machines * best.option.copies
    most = best.capacity_rpm.middle
    wide = best.ttft_ms_p95.high / best.ttft_ms_p95.middle
    rates, median, tail = [], [], []
    for number in range(1, _POINTS + 1):
        rate = most * number / _POINTS
        seen = open_loop(
            best.served, calibration.efficiency, demand.load, rate / 60 / copies, best.batch
        )
        if seen.stable:
            rates.append(rate)
            median.append(seen.ttft_ms_p50)
            tail.append(seen.ttft_ms_p95)
    lines = [
        Line(
            "95 % of requests",
            list(zip(rates, tail, strict=True)),
            [value / wide for value in tail],
            [value * wide for value in tail],
        ),
        Line("half of them", list(zip(rates, median, strict=True)), dashed=True),
    ]
    mark = (demand.requests_per_minute, "your load")
    return Chart("First token against load", "requests/min", "milliseconds", lines, mark)


def memory(best: Candidate) -> Stack:
    """What lies in one GPU, GiB."""
    use = best.use
    parts = (
        ("weights", use.weights_gib),
        ("activations", use.activations_gib),
        ("engine", use.overhead_gib),
        ("LoRA slots", use.adapters_gib),
        ("cache", use.cache_gib),
        ("left free", use.reserved_gib),
    )
    gpu = best.served.gpu.name
    return Stack(f"Memory of one {gpu}", "GiB", tuple(part for part in parts if part[1] > 0))


def _note(report: Report) -> str:
    """Of which day it is, and how old and how sure the figures are."""
    old, doubted = len(report.stale), len(report.unchecked)
    told = [f"as of {report.today}"]
    told += [f"{old} prices older than 90 days"] if old else []
    told += [f"{doubted} figures not checked against a source"] if doubted else []
    return ", ".join(told)


def terminal(report: Report) -> Iterator[str]:
    """The same pictures in characters."""
    best = report.best
    if best is None:
        return
    yield ""
    yield _note(report)
    stack = memory(best)
    yield ""
    yield f"{stack.title}, {stack.whole:.1f} GiB"
    for label, size in stack.parts:
        yield f"  {label:12} {_bar(size / stack.whole)} {size:.1f}"
    for chart in (cost(report), latency(report, best)):
        line = chart.lines[0]
        highest = max((value for _, value in line.points), default=1.0)
        yield ""
        yield f"{chart.title} ({line.label}): {chart.y} at {chart.x}"
        for rate, value in line.points[:: max(len(line.points) // 8, 1)]:
            yield f"  {rate:12,.0f} {_bar(value / highest)} {value:,.0f}"


def _bar(share: float) -> str:
    filled = round(max(share, 0) * _BAR)
    return ("█" * filled).ljust(_BAR)
