"""The plan in words: the answer first, then the alternatives, then why others fall."""

from collections.abc import Iterable, Iterator

from penstock.catalog.records import STALE_AFTER_DAYS
from penstock.plan.report import Report, comparisons
from penstock.sizing.calibration import Interval
from penstock.sizing.candidate import Candidate, Fallen

_LABEL = 9


def lines(report: Report) -> Iterator[str]:
    """The whole plan, a line each."""
    yield from _question(report)
    best = report.best
    if report.trial:
        yield ""
        yield from _trial(report)
        return
    if best is None:
        yield ""
        yield "nothing serves this"
        for near in report.choice.nearest:
            yield f"  would do: {near}"
    else:
        yield ""
        yield from answer(best, report)
        yield from _here(report)
        yield from _alternatives(report)
    yield from _fallen(report.choice.fallen)
    yield from _block("know", (*comparisons(report), *report.warnings))
    if report.stale:
        yield ""
        yield _row(
            "old", f"prices of more than {STALE_AFTER_DAYS} days: {', '.join(report.stale)}"
        )
    if report.unchecked:
        yield ""
        yield _row("*", f"not checked against a source: {', '.join(report.unchecked)}")


def answer(best: Candidate, report: Report) -> Iterator[str]:
    """The answer: machines, memory, speed, cost, quota."""
    demand, option = report.demand, best.option
    tp, pp = option.layout.tensor_parallel, option.layout.pipeline_parallel
    precision = option.precision.name
    machines = f"{best.machines} x {option.name} ({option.instance.gpus} x {option.instance.gpu})"
    more = (
        f"tensor parallel {tp}" if tp > 1 else "",
        f"pipeline of {pp}" if pp > 1 else "",
        f"served by {demand.server.name}" if demand.server.name != "vLLM" else "",
        f"{option.copies} copies each" if option.copies > 1 else "",
        precision if precision != demand.quantization else "",
        f"on {option.place}" if option.place != demand.place else "",
    )
    yield _row("answer", ", ".join((machines, *filter(None, more))))
    yield from _memory(best, report)
    yield from _speed(best, report)
    yield from _cost(best, report)
    yield _row("quota", str(report.quota))


def _memory(best: Candidate, report: Report) -> Iterator[str]:
    use, context = best.use, report.demand.context
    yield _row(
        "memory",
        f"{use.weights_gib:.1f} GiB weights + {use.activations_gib:.1f} activations + "
        f"{use.overhead_gib + use.adapters_gib:.1f} engine, {use.cache_gib:.1f} left for the "
        f"cache of {use.usable_gib:.1f} usable a GPU",
    )
    full = use.sequences(context)
    yield _row("", f"{best.batch} requests like these at once, {full} at {context} tokens")


def _speed(best: Candidate, report: Report) -> Iterator[str]:
    doubt = "" if report.catalogue.is_checked(best.served.gpu.dated) else "*"
    yield _row(
        "speed",
        f"first token {_ms(best.ttft_ms_p50)} (p50), {_ms(best.ttft_ms_p95)} (p95); "
        f"then {_ms(best.tpot_ms)} a token{doubt}",
    )
    low, high = best.capacity_rpm.low, best.capacity_rpm.high
    yield _row(
        "",
        f"sustains {best.capacity_rpm.middle:,.0f} requests/min ({low:,.0f} to {high:,.0f}); "
        f"bars hold 90 % of left-out measurements{_local(best, report)}",
    )


def _cost(best: Candidate, report: Report) -> Iterator[str]:
    bill, rate, load = best.bill, report.demand.requests_per_minute, report.demand.load
    least, most = bill.spread
    star = "*" if bill.is_doubtful else ""
    yield _row(
        "cost",
        f"{bill.usd_per_hour:,.2f} USD/h, {bill.usd_per_month:,.0f} USD/month{star}; "
        f"{bill.per_thousand_requests(rate):,.3f} USD for 1,000 requests, "
        f"{bill.per_million_tokens(rate, load.prompt + load.output):,.3f} for a million tokens",
    )
    if star:
        yield _row("", f"* rests on unchecked prices: {least:,.0f} to {most:,.0f} USD/month")
    machine = bill.items[0]
    rest = bill.usd_per_month - bill.month(machine)
    note = f" ({machine.note})" if machine.note else ""
    yield _row(
        "",
        f"machines {bill.month(machine):,.0f}{note}, everything else {rest:,.0f} USD/month",
    )


def _trial(report: Report) -> Iterator[str]:
    parameters = report.demand.shape.parameters
    yield _row("answer", "this machine: the shipped model needs no GPU and nothing to be rented")
    yield _row("memory", f"{parameters * 2 / 1e6:,.0f} MB of weights ({parameters:,} parameters)")
    yield from _here(report)
    yield ""
    yield "It is for trying things out. Name another model.id to plan with it."


def _here(report: Report) -> Iterator[str]:
    """How fast this machine is, as far as anybody measured it."""
    here = report.here
    if here is None:
        return
    name = here.served.gpu.name
    if here.unknown and not report.demand.extrapolate:
        yield _row("here", f"how fast {name} is, nobody measured: penstock bench, then calibrate")
        return
    yield _row(
        "here",
        f"{name}: first token {_ms(here.ttft_ms_p50)} (p50), {_ms(here.ttft_ms_p95)} (p95); "
        f"then {_ms(here.tpot_ms)} a token",
    )
    known = f"measured on {here.fit.points} loads, {here.fit.as_of}" if here.fit else "estimated"
    low, high = here.capacity_rpm.low, here.capacity_rpm.high
    yield _row(
        "",
        f"sustains {here.capacity_rpm.middle:,.0f} requests/min ({low:,.0f} to {high:,.0f}); "
        f"{f'a guess: {here.unknown}' if here.unknown else known}",
    )


def _question(report: Report) -> Iterator[str]:
    demand, load = report.demand, report.demand.load
    where = f"{demand.place} in {demand.region}"
    if report.local:
        where = f"this machine; priced as {where}"
    precision = "" if demand.quantization == "none" else f", {demand.quantization}"
    yield f"{report.name}: {demand.shape.id}{precision} on {where}"
    hours = "" if demand.hours_per_day == 24 else f", {demand.hours_per_day:g} hours a day"
    yield (
        f"load: {demand.requests_per_minute:g} requests/min of {load.prompt:g} + {load.output:g} "
        f"tokens, first token within {demand.ttft_ms_p95:g} ms for 95 %{hours}"
    )


def _alternatives(report: Report) -> Iterator[str]:
    others = report.choice.pareto[1:]
    if not others:
        return
    yield ""
    yield "sooner for more money:"
    for each in others:
        option = each.option
        tp, pp = option.layout.tensor_parallel, option.layout.pipeline_parallel
        deep = f" pp {pp}" if pp > 1 else ""
        yield (
            f"  {each.machines} x {option.name:18} {option.place:20} {option.precision.name:5} "
            f"tp {tp}{deep}  p95 {each.ttft_ms_p95.middle:6,.0f} ms  "
            f"{each.bill.usd_per_month:9,.0f} USD/month"
        )


def _fallen(fallen: Iterable[Fallen]) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for each in fallen:
        by_reason.setdefault(each.why, []).append(each.option.name)
    if by_reason:
        yield ""
        yield "these fall:"
    for why, names in by_reason.items():
        yield f"  {_shorten(names)}: {why}"


def _shorten(names: list[str]) -> str:
    """`g5.xlarge, g5.2xlarge, p3.2xlarge` as `g5.xlarge .2xlarge, p3.2xlarge`."""
    families: dict[str, list[str]] = {}
    for name in names:
        family, _, size = name.rpartition(".")
        families.setdefault(family, []).append(size)
    return ", ".join(f"{f}.{' .'.join(sizes)}" for f, sizes in families.items())


def _block(title: str, told: Iterable[str]) -> Iterator[str]:
    known = list(told)
    if known:
        yield ""
    for number, line in enumerate(known):
        yield _row(title if number == 0 else "", line)


def _row(label: str, line: str) -> str:
    return f"  {label:{_LABEL}}{line}".rstrip()


def _ms(interval: Interval) -> str:
    digits = 0 if interval.middle >= 100 else 1
    return (
        f"{interval.middle:,.{digits}f} ms ({interval.low:,.{digits}f} to "
        f"{interval.high:,.{digits}f})"
    )


def _local(best: Candidate, report: Report) -> str:
    fit = report.calibration.local_fit(best.served)
    return f"; calibrated here on {fit.points} loads, {fit.as_of}" if fit else ""
