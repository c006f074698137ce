"""Several plans side by side, and what routing requests over them would cost."""

from collections.abc import Iterator, Sequence

from penstock.ground.errors import UserError
from penstock.plan.report import Report
from penstock.sizing.price import tiered_routing

_COLUMNS = (
    *("plan", "model", "answer", "USD/month", "USD/1,000 requests", "USD/million tokens"),
    *("p95 first token", "a token", "requests/min"),
)


def table(reports: Sequence[Report]) -> Iterator[str]:
    """The plans as columns of text, the cheapest marked."""
    rows = [_COLUMNS, *(_row(report) for report in reports)]
    widths = [max(len(row[number]) for row in rows) for number in range(len(_COLUMNS))]
    costs = [r.best.bill.usd_per_month if r.best else float("inf") for r in reports]
    cheapest = costs.index(min(costs)) if min(costs) < float("inf") else None
    for number, row in enumerate(rows):
        mark = "  <- cheapest" if cheapest is not None and number == cheapest + 1 else ""
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield ("  ".join(cells) + mark).rstrip()
    old = sum(len(report.stale) for report in reports)
    if old:
        yield f"{old} prices in these plans are older than 90 days; `penstock catalog refresh`"


def routing(reports: Sequence[Report], shares: Sequence[float]) -> dict[str, float]:
    """What 1,000 requests cost when each plan takes its share, and on the dearest plan alone.

    Every stack is priced at the load of its own file.

    Raises:
        UserError: the shares are not one a plan or do not add up, or a plan serves nothing.
    """
    if len(shares) != len(reports):
        fix = "Give one share for each file, as --split 80,15,5."
        raise UserError(f"{len(shares)} shares do not fit {len(reports)} plans", fix=fix)
    tiers = []
    for share, report in zip(shares, reports, strict=True):
        if report.best is None:
            raise UserError(f"{report.name} serves nothing, so it cannot take {share:g} %")
        cost = report.best.bill.per_thousand_requests(report.demand.requests_per_minute)
        tiers.append((share / 100, cost))
    try:
        dearest, mixed, saved = tiered_routing(tiers)
    except ValueError as error:
        raise UserError(str(error), fix="Let them add up to 100.") from error
    return {
        "usd_per_thousand_requests": mixed,
        "usd_on_the_dearest": dearest,
        "saved": saved,
        "at_most": 1 - sum(share for share, cost in tiers if cost == dearest),
    }


def routing_text(found: dict[str, float], shares: Sequence[float]) -> str:
    """The routing in one sentence."""
    split = "/".join(f"{share:g}" for share in shares)
    return (
        f"routing {split}: {found['usd_per_thousand_requests']:,.3f} USD for 1,000 requests, on "
        f"the dearest alone {found['usd_on_the_dearest']:,.3f}: {found['saved']:.1%} less "
        f"({found['at_most']:.0%} less if the others were free)"
    )


def _row(report: Report) -> tuple[str, ...]:
    best, demand = report.best, report.demand
    precision = "" if demand.quantization == "none" else f" {demand.quantization}"
    start = (report.name, demand.shape.id.rpartition("/")[2] + precision)
    if best is None:
        told = "this machine" if report.trial else "nothing serves this"
        return (*start, told, *("-" for _ in _COLUMNS[3:]))
    rate, tokens = demand.requests_per_minute, demand.load.prompt + demand.load.output
    bill = best.bill
    return (
        *start,
        f"{best.machines} x {best.option.name}",
        f"{bill.usd_per_month:,.0f}{'*' if bill.is_doubtful else ''}",
        f"{bill.per_thousand_requests(rate):,.3f}",
        f"{bill.per_million_tokens(rate, tokens):,.3f}",
        f"{best.ttft_ms_p95.middle:,.0f} ms",
        f"{best.tpot_ms.middle:,.1f} ms",
        f"{best.capacity_rpm.middle:,.0f}",
    )
