"""What can be known to go wrong before a dollar is spent: limits, quotas, gates, old prices."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from penstock.catalog.catalogue import Catalogue
from penstock.sizing.candidate import Candidate
from penstock.sizing.demand import Demand

_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Quota:
    """A service quota by the name that AWS's console shows, and how much of it is needed.

    `has` is the account's value; None where nobody asked, or AWS lists no such quota.
    """

    service: str
    name: str
    needs: float
    unit: str
    has: float | None = None

    @property
    def is_short(self) -> bool:
        """Whether the account is known to have too little of it."""
        return self.has is not None and self.has < self.needs

    def __str__(self) -> str:
        known = "yours is not known (--quotas asks AWS)"
        if self.has is not None:
            known = f"yours is {self.has:g}" + (": ask for more first" if self.is_short else "")
        return f"{self.service} '{self.name}': {self.needs:g} {self.unit} needed, {known}"


def warnings(
    demand: Demand, best: Candidate | None, catalogue: Catalogue, *, has_hub_token: bool
) -> Iterator[str]:
    """Everything worth knowing of the answer, a sentence each."""
    yield from _model(demand, has_hub_token)
    if best is None:
        return
    yield from _limits(demand, best, catalogue)
    yield from _capacity(best, demand)
    yield from best.notes
    if best.extrapolated:
        yield f"extrapolated: {best.extrapolated}"


def stale_prices(best: Candidate, today: date) -> Iterator[str]:
    """The parts of the bill whose price is older than 90 days."""
    for item in best.bill.stale(today):
        days = (today - item.dated.as_of).days
        yield f"{item.name}: {days} days ({item.dated.as_of})"


def unchecked_figures(best: Candidate, catalogue: Catalogue) -> Iterator[str]:
    """The figures of the answer that nobody compared with their source."""
    for item in best.bill.unchecked:
        yield f"the price of {item.name}"
    if not catalogue.is_checked(best.served.gpu.dated):
        yield f"bandwidth and arithmetic of {best.served.gpu.name}"
    if not catalogue.is_checked(best.option.instance.dated):
        yield f"the GPUs of {best.option.instance.name}"
    shape = catalogue.model_dates.get(best.served.shape.id)
    if shape and not catalogue.is_checked(shape):
        yield f"the shape of {best.served.shape.id}"


def quota(best: Candidate) -> Quota:
    """The service quota that the answer draws on."""
    option = best.option
    if option.place.startswith("sagemaker"):
        return Quota("sagemaker", f"{option.name} for endpoint usage", best.machines, "of them")
    kind = "P" if option.instance.family.startswith("p") else "G and VT"
    vcpus = best.machines * option.instance.vcpus
    return Quota("ec2", f"Running On-Demand {kind} instances", vcpus, "vCPUs")


def _model(demand: Demand, has_hub_token: bool) -> Iterator[str]:
    shape = demand.shape
    if shape.gated and not has_hub_token:
        yield (
            f"{shape.id} is gated: accept its terms on the Hub and set HF_TOKEN, "
            "or the download fails"
        )
    if shape.license:
        told = f"{shape.license}{_license_note(shape.license)}"
        yield f"license of {shape.id}, not looked up: {told}"


def _license_note(name: str) -> str:
    if name.startswith("cc-by-nc") or "research" in name:
        return " (no commercial use)"
    if name in ("apache-2.0", "mit"):
        return ""
    return " (read its terms of use)"


def _limits(demand: Demand, best: Candidate, catalogue: Catalogue) -> Iterator[str]:
    limits = catalogue.limits
    answer_s = (best.ttft_ms_p95.high + demand.load.output * best.tpot_ms.high) / 1e3
    if best.option.place in ("sagemaker realtime", "sagemaker components"):
        most = limits["sagemaker-response-seconds"].value
        if answer_s > most:
            yield (
                f"an answer may take {answer_s:,.0f} s and SageMaker ends those that do not "
                f"stream after {most:.0f} s: stream them"
            )
        payload_mb = demand.load.prompt * _BYTES_PER_TOKEN / 1e6
        most_mb = limits["sagemaker-payload-mb"].value
        if payload_mb > most_mb:
            yield (
                f"a prompt of {demand.load.prompt:,.0f} tokens is about {payload_mb:.1f} MB, "
                f"SageMaker takes {most_mb:.0f} MB: use target.mode: async"
            )
    if best.option.place == "sagemaker realtime" and demand.hours_per_day < 24:
        yield (
            "a real-time endpoint costs money until it is deleted: the price assumes that you "
            f"delete it when its {demand.hours_per_day:g} hours are over and create it again"
        )
    if best.option.place == "sagemaker async":
        yield "async endpoints do not stream: answers are written to S3"
    if demand.least_machines == 0:
        wakes_s = limits["scale-from-zero-seconds"].value
        yield f"waking from zero took {wakes_s / 60:.0f} minutes in one public report, not checked"


def _capacity(best: Candidate, demand: Demand) -> Iterator[str]:
    if best.ttft_ms_p95.high > demand.ttft_ms_p95:
        yield (
            f"the error bar of the first token reaches {best.ttft_ms_p95.high:,.0f} ms, past the "
            f"{demand.ttft_ms_p95:,.0f} ms asked: measure with `penstock bench`, then "
            "`penstock calibrate`"
        )
    zones = best.option.instance.zones.get(demand.region, ())
    if len(zones) == 1:
        yield f"only zone {demand.region}{zones[0]} offers {best.option.instance.name}"
    if best.option.place in ("ecs", "eks"):
        gib = best.option.instance.ram_gib
        yield f"give the engine's container at most {gib * 0.85:.0f} of {gib:.0f} GiB of RAM"
