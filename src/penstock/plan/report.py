"""The answer as plain data: what `--json` prints and everything else is drawn from."""

from dataclasses import asdict, dataclass
from datetime import date

from penstock.catalog.catalogue import Catalogue
from penstock.manifest.model import SHIPPED_MODEL
from penstock.plan import checks
from penstock.sizing.calibration import Calibration, Interval
from penstock.sizing.candidate import Candidate
from penstock.sizing.choice import Choice
from penstock.sizing.demand import Demand
from penstock.sizing.here import Here
from penstock.sizing.price import (
    HOURS_PER_MONTH,
    Item,
    always_on_against_on_demand,
    endpoints_against_adapters,
)


@dataclass(frozen=True, slots=True)
class Report:
    """A plan: the question, the choice, and what to know of it."""

    name: str
    demand: Demand
    choice: Choice
    catalogue: Catalogue
    calibration: Calibration
    today: date
    local: bool
    warnings: tuple[str, ...]
    stale: tuple[str, ...]
    unchecked: tuple[str, ...]
    here: Here | None = None
    quota: checks.Quota | None = None

    @property
    def trial(self) -> bool:
        """Whether it is about the shipped model on this machine: nothing has to be rented."""
        return self.local and self.demand.shape.id == SHIPPED_MODEL

    @property
    def serves(self) -> bool:
        """Whether anything serves the load."""
        return self.trial or self.best is not None

    @property
    def best(self) -> Candidate | None:
        """The cheapest candidate that serves the load."""
        return self.choice.cheapest


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is true around the plan: the day, whether a Hub token is at hand, and the machine.

    `local` says whether the manifest is for this machine; `here` is how fast that would be.
    """

    today: date
    has_hub_token: bool
    local: bool
    here: Here | None = None


def make_report(
    name: str,
    demand: Demand,
    choice: Choice,
    known: tuple[Catalogue, Calibration],
    around: Circumstances,
) -> Report:
    """The plan called `name`."""
    catalogue, calibration = known
    best = choice.cheapest
    told = checks.warnings(demand, best, catalogue, has_hub_token=around.has_hub_token)
    return Report(
        name,
        demand,
        choice,
        catalogue,
        calibration,
        around.today,
        around.local,
        warnings=tuple(told),
        stale=tuple(checks.stale_prices(best, around.today)) if best else (),
        unchecked=tuple(checks.unchecked_figures(best, catalogue)) if best else (),
        here=around.here,
        quota=checks.quota(best) if best else None,
    )


def comparisons(report: Report) -> list[str]:
    """What else the money could do: sentences that compare."""
    best, demand = report.best, report.demand
    if best is None:
        return []
    told = []
    machine = best.bill.items[0]
    if demand.adapters > 1:
        apart, together, saved = endpoints_against_adapters(
            demand.adapters, machine.usd_per_hour * 730
        )
        told.append(
            f"{demand.adapters} customers on an endpoint each cost {apart:,.0f} USD a month, "
            f"on one with {demand.adapters} adapters {together:,.0f}: {saved:.0%} less"
        )
    told += _reserved(report, machine)
    if demand.hours_per_day < 24:
        always, some, saved = always_on_against_on_demand(
            machine.usd_per_hour, demand.hours_per_day
        )
        told.append(
            f"the machines always on cost {always:,.0f} USD a month, for "
            f"{demand.hours_per_day:g} hours a day {some:,.0f}: {saved:.0%} less"
        )
    return told


def _reserved(report: Report, machine: Item) -> list[str]:
    """What machines cost that are reserved for a year, where they are bought on demand."""
    demand = report.demand
    known = report.catalogue.reservations.get((machine.name, demand.region))
    if known is None or demand.savings_plan or demand.spot_share or machine.on_demand:
        return []
    usd = machine.usd_per_hour * HOURS_PER_MONTH
    return [
        f"reserved for a year, nothing upfront, the machines cost {usd * (1 - known.saving):,.0f} "
        f"USD a month instead of {usd:,.0f}: {known.saving:.0%} less as of {known.dated.as_of}"
    ]


def as_data(report: Report) -> dict[str, object]:
    """The whole plan for a program; money in USD, times in milliseconds, memory in GiB."""
    demand = report.demand
    return {
        "name": report.name,
        "model": demand.shape.id,
        "quantization": demand.quantization,
        "place": "local" if report.local else demand.place,
        "region": demand.region,
        "context": demand.context,
        "load": {
            "requests_per_minute": demand.requests_per_minute,
            "prompt_tokens": demand.load.prompt,
            "output_tokens": demand.load.output,
            "ttft_ms_p95": demand.ttft_ms_p95,
            "hours_per_day": demand.hours_per_day,
        },
        "serves": report.serves,
        "cheapest": candidate_data(report.best, demand) if report.best else None,
        "pareto": [candidate_data(each, demand) for each in report.choice.pareto],
        "fallen": [
            {"instance": fallen.option.name, "why": fallen.why, "missing_gib": fallen.missing_gib}
            for fallen in report.choice.fallen
        ],
        "nearest": list(report.choice.nearest),
        "comparisons": comparisons(report),
        "warnings": list(report.warnings),
        "stale_prices": list(report.stale),
        "unchecked": list(report.unchecked),
        "here": here_data(report.here) if report.here else None,
        "quota": asdict(report.quota) if report.quota else None,
        "fitted_on": report.calibration.fitted_on,
    }


def candidate_data(candidate: Candidate, demand: Demand) -> dict[str, object]:
    """One candidate for a program."""
    option, use, bill = candidate.option, candidate.use, candidate.bill
    tokens = demand.load.prompt + demand.load.output
    rate = demand.requests_per_minute
    return {
        "instance": option.name,
        "machines": candidate.machines,
        "copies_per_machine": option.copies,
        "place": option.place,
        "gpu": candidate.served.gpu.name,
        "precision": candidate.served.precision.name,
        "tensor_parallel": option.layout.tensor_parallel,
        "pipeline_parallel": option.layout.pipeline_parallel,
        "server": demand.server.name,
        "engine": candidate.served.engine,
        "memory_gib": {
            "usable": round(use.usable_gib, 2),
            "weights": round(use.weights_gib, 2),
            "activations": round(use.activations_gib, 2),
            "overhead": round(use.overhead_gib, 2),
            "adapters": round(use.adapters_gib, 2),
            "cache": round(use.cache_gib, 2),
        },
        "sequences": candidate.batch,
        "sequences_at_full_context": use.sequences(demand.context),
        "running": round(candidate.steady.running, 1),
        "ttft_ms_p50": _bar(candidate.ttft_ms_p50),
        "ttft_ms_p95": _bar(candidate.ttft_ms_p95),
        "tpot_ms": _bar(candidate.tpot_ms),
        "sustainable_requests_per_minute": _bar(candidate.capacity_rpm),
        "usd_per_hour": round(bill.usd_per_hour, 4),
        "usd_per_month": round(bill.usd_per_month, 2),
        "usd_per_month_low": round(bill.spread[0], 2),
        "usd_per_month_high": round(bill.spread[1], 2),
        "usd_per_thousand_requests": round(bill.per_thousand_requests(rate), 4),
        "usd_per_million_tokens": round(bill.per_million_tokens(rate, tokens), 4),
        "bill": [
            {
                "name": item.name,
                "quantity": item.quantity,
                "usd": item.usd,
                "usd_per_month": bill.month(item),
                "source": item.dated.source,
                "as_of": item.dated.as_of.isoformat(),
                "checked": item.checked,
                "note": item.note,
            }
            for item in bill.items
        ],
        "extrapolated": candidate.extrapolated or None,
    }


def here_data(here: Here) -> dict[str, object]:
    """This machine for a program; `unknown` says why its figures are a guess, if they are."""
    return {
        "machine": here.served.gpu.name,
        "engine": here.served.engine,
        "ttft_ms_p50": _bar(here.ttft_ms_p50),
        "ttft_ms_p95": _bar(here.ttft_ms_p95),
        "tpot_ms": _bar(here.tpot_ms),
        "sustainable_requests_per_minute": _bar(here.capacity_rpm),
        "measured_on": here.fit.as_of if here.fit else None,
        "unknown": here.unknown or None,
    }


def _bar(interval: Interval) -> dict[str, float]:
    return {
        "low": round(interval.low, 2),
        "estimate": round(interval.middle, 2),
        "high": round(interval.high, 2),
    }
