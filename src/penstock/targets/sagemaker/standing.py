"""How a deployment stands now: its stacks, endpoint, components, alarms."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors
from penstock.targets.aws.stacks import GOOD, Seen, Stacks
from penstock.targets.sagemaker.hosted import Endpoint, Hosting

ALARM = "AWS::CloudWatch::Alarm"
MOST_NAMES = 100
"""Of how many alarms one call may ask."""


@dataclass(frozen=True, slots=True)
class AlarmState:
    """An alarm: `OK`, `ALARM` or `INSUFFICIENT_DATA`, and what it is about."""

    name: str
    state: str
    about: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A deployment as it is; without an endpoint it serves nothing."""

    stacks: tuple[Seen, ...]
    endpoint: Endpoint | None
    alarms: tuple[AlarmState, ...]

    @property
    def serves(self) -> bool:
        """Whether there is an endpoint, and it and all its components answer."""
        return self.endpoint is not None and self.endpoint.serves

    @property
    def is_well(self) -> bool:
        """Whether it serves, and its stacks are as they should be."""
        return self.serves and all(seen.status in GOOD for seen in self.stacks)


def read_standing(
    account: Account, stacks: Stacks, hosting: Hosting, names: tuple[str, ...], endpoint: str
) -> Standing:
    """How the stacks called `names` and the endpoint are."""
    found = tuple(seen for seen in map(stacks.find, names) if seen)
    alarms = [
        physical
        for seen in found
        for kind, physical in stacks.resources(seen).values()
        if kind == ALARM
    ]
    return Standing(found, hosting.find(endpoint), tuple(_alarms(account, alarms)))


def _alarms(account: Account, names: list[str]) -> Iterator[AlarmState]:
    client: Any = account.client("cloudwatch")
    for at in range(0, len(names), MOST_NAMES):
        with aws_errors("CloudWatch"):
            told = client.describe_alarms(AlarmNames=names[at : at + MOST_NAMES])
        for each in told["MetricAlarms"]:
            about = each.get("AlarmDescription", "")
            yield AlarmState(each["AlarmName"], each["StateValue"], about)
