"""Whether machines can be had: where they are offered, and what became of earlier wishes."""

from collections.abc import Iterator
from dataclasses import dataclass

from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors
from penstock.targets.doctor.finding import Finding, bad, doubtful, good

_RECENT = 20


@dataclass(frozen=True, slots=True)
class Activity:
    """Something that Application Auto Scaling did, or could not do."""

    what: str
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The zones that offer the machine, and the last things that scaling did, the newest first."""

    machine: str
    zones: tuple[str, ...]
    activities: tuple[Activity, ...]


def look(account: Account, machine: str, resources: tuple[str, ...]) -> Facts:
    """Ask where the machine is offered, and what scaling did with `resources`."""
    wanted = [{"Name": "instance-type", "Values": [machine.removeprefix("ml.")]}]
    with aws_errors("EC2"):
        offered = account.client("ec2").describe_instance_type_offerings(
            LocationType="availability-zone", Filters=wanted
        )["InstanceTypeOfferings"]
    found: list[Activity] = []
    with aws_errors("Application Auto Scaling"):
        client = account.client("application-autoscaling")
        for resource in resources:
            told = client.describe_scaling_activities(
                ServiceNamespace="sagemaker", ResourceId=resource
            )
            found += [
                Activity(each["Description"], each["StatusCode"], each.get("StatusMessage", ""))
                for each in told["ScalingActivities"][:_RECENT]
            ]
    zones = tuple(sorted(each["Location"] for each in offered))
    return Facts(machine, zones, tuple(found))


def check(facts: Facts) -> Iterator[Finding]:
    """Whether it looks well."""
    evidence = f"ec2:DescribeInstanceTypeOfferings: {', '.join(facts.zones) or 'none'}"
    other = "Name another type in target.instances, or another region."
    if not facts.zones:
        says = f"no zone of this region offers {facts.machine}"
        yield bad("capacity.zones", says, evidence, other)
    elif len(facts.zones) == 1:
        says = f"only {facts.zones[0]} offers {facts.machine}: what is short there is short at all"
        yield doubtful("capacity.zones", says, evidence, other)
    else:
        says = f"{len(facts.zones)} zones offer {facts.machine}"
        yield good("capacity.zones", says, evidence)
    failed = [each for each in facts.activities if each.status in ("Failed", "Unfulfilled")]
    evidence = "application-autoscaling:DescribeScalingActivities"
    if failed:
        seen = f"{evidence}: {failed[0].what} {failed[0].message}"
        says = f"{len(failed)} of the last {len(facts.activities)} scalings did not succeed"
        fix = "Where AWS has no machine free: other types, another region, or wait."
        yield doubtful("capacity.scaling", says, seen, fix)
    elif facts.activities:
        seen = f"{evidence}: {facts.activities[0].what}"
        yield good("capacity.scaling", "scaling has done what it was to do", seen)
