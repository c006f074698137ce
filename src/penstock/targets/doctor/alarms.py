"""What CloudWatch's alarms say of a deployment that serves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors
from penstock.targets.doctor.finding import Finding, bad, doubtful, good

WAKES = frozenset({"NoCapacityInvocationFailures", "HasBacklogWithoutCapacity"})
"""What an alarm counts that starts the first copy, or machine."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm: its metric, whether it rings, why, and whether anything happens then."""

    name: str
    metric: str
    state: str
    reason: str
    acts: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """The alarms of a deployment; `scales_to_zero` where one of them has to wake it."""

    alarms: tuple[Alarm, ...]
    scales_to_zero: bool


def look(account: Account, prefix: str, *, scales_to_zero: bool) -> Facts:
    """Read the alarms whose names begin so."""
    with aws_errors("CloudWatch"):
        pages = account.client("cloudwatch").get_paginator("describe_alarms")
        rows = [
            row for page in pages.paginate(AlarmNamePrefix=prefix) for row in page["MetricAlarms"]
        ]
    return Facts(
        tuple(
            Alarm(
                row["AlarmName"],
                _metric(row),
                row.get("StateValue", ""),
                row.get("StateReason", ""),
                bool(row.get("ActionsEnabled") and row.get("AlarmActions")),
            )
            for row in rows
        ),
        scales_to_zero,
    )


def _metric(row: dict[str, Any]) -> str:
    """The metric of an alarm; of one that looks at it in several places, that of the first."""
    figures = (each.get("MetricStat", {}) for each in row.get("Metrics", ()))
    named = (str(each["Metric"]["MetricName"]) for each in figures if each.get("Metric"))
    return str(row.get("MetricName") or next(named, ""))


_FULL = (
    "the GPUs' memory is nearly full",
    "Lower engine.gpu_memory_utilization or model.context",
)
_QUEUE = ("questions pile up", "Raise scale.max, or look whether machines can be had")
MEANINGS = {
    "Invocation5XXErrors": (
        "the container fails on requests",
        "Its log says why: `penstock logs`. Right after an update, the update is undone by itself",
    ),
    "Invocation4XXErrors": (
        "requests are refused",
        "Clients send what the engine does not take, or are throttled; its log says which",
    ),
    "ModelLatency": (
        "answers take long, close to the 60 s at which SageMaker gives up",
        "Raise scale.max, lower load, or stream",
    ),
    "GPUMemoryUtilization": _FULL,
    "GPUMemoryUtilizationNormalized": _FULL,
    "ConcurrentRequestsPerCopy": _QUEUE,
    "ConcurrentRequestsPerModel": _QUEUE,
    "ApproximateBacklogSize": _QUEUE,
    "HTTPCode_Target_5XX_Count": (
        "the gateway answers with errors",
        "Its log says why: `penstock logs gateway`. A roll-out of the gateway is undone by itself",
    ),
    "UnHealthyHostCount": (
        "a gateway is not ready",
        "See /ready of the gateway and its log: an engine is down, or a store cannot be reached",
    ),
    "Errors": ("the gateway's function fails", "Its log says why: `penstock logs`"),
    "Throttles": (
        "requests find no free function",
        "Raise the account's quota of concurrent executions of Lambda",
    ),
}
"""What it means when an alarm on a metric rings."""


def check(facts: Facts) -> Iterator[Finding]:
    """Which alarms ring, and whether the one that wakes is there."""
    ringing = [each for each in facts.alarms if each.state == "ALARM" and each.metric not in WAKES]
    evidence = f"cloudwatch:DescribeAlarms: {len(facts.alarms)}, {len(ringing)} of them ring"
    for each in ringing:
        says, fix = MEANINGS.get(
            each.metric, (f"{each.metric} is over its bound", "See its graph")
        )
        yield doubtful("alarms.ringing", f"{each.name}: {says}", each.reason or evidence, fix)
    if not ringing:
        yield good("alarms.ringing", "no alarm rings", evidence)
    if facts.scales_to_zero:
        wakes = [each for each in facts.alarms if each.metric in WAKES and each.acts]
        if wakes:
            yield good("alarms.wake", "an alarm wakes it from zero", wakes[0].name)
        else:
            yield bad(
                "alarms.wake",
                "it scales to zero, and nothing wakes it",
                f"no alarm on {' or '.join(sorted(WAKES))} with an action",
                "Deploy again, which makes the alarm; until then ask for a copy: aws sagemaker "
                "update-inference-component-runtime-config --desired-runtime-config CopyCount=1",
            )
