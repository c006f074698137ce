"""Whether the account may have so many machines."""

from collections.abc import Iterator
from dataclasses import dataclass

from penstock.targets.aws.quotas import quota_value
from penstock.targets.aws.remedies import QUOTA
from penstock.targets.doctor.finding import Finding, bad, doubtful, good, unseen


@dataclass(frozen=True, slots=True)
class Facts:
    """Machines of one type: how many at the peak, during an update, and allowed."""

    machine: str
    peak: int
    during_update: int
    allowed: float | None

    @property
    def name(self) -> str:
        """The quota as the console calls it."""
        return f"{self.machine} for endpoint usage"


def look(region: str, machine: str, peak: int, during_update: int) -> Facts:
    """Ask AWS Service Quotas."""
    allowed = quota_value("sagemaker", f"{machine} for endpoint usage", region)
    return Facts(machine, peak, during_update, allowed)


def check(facts: Facts) -> Iterator[Finding]:
    """Whether it reaches."""
    evidence = f"Service Quotas, sagemaker, '{facts.name}'"
    ask = f"Ask for {facts.during_update} of '{facts.name}' (a day or two): {QUOTA}"
    if facts.allowed is None:
        yield unseen("quotas.machines", "AWS lists no such quota", evidence, f"Look: {QUOTA}")
    elif facts.allowed < facts.peak:
        says = f"{facts.peak} {facts.machine} are needed, {facts.allowed:g} allowed"
        yield bad("quotas.machines", says, evidence, ask)
    elif facts.allowed < facts.during_update:
        says = (
            f"{facts.allowed:g} {facts.machine} are allowed: enough for {facts.peak}, and not for "
            f"the {facts.during_update} that a blue/green update takes for a while"
        )
        yield doubtful("quotas.machines", says, evidence, f"{ask} Or set target.update: rolling.")
    else:
        says = f"{facts.allowed:g} {facts.machine} are allowed, {facts.during_update} needed"
        yield good("quotas.machines", says, evidence)
