"""Who is behind a target group, and how they are: for the rest, load balancers are moto's."""

from typing import Any

from penstock.rehearsal.containers.records import Behind, Yard

STATES = {"HEALTHY": "healthy", "UNHEALTHY": "unhealthy", "UNKNOWN": "initial"}


class TargetHealth:
    """The operation."""

    def __init__(self, yard: Yard) -> None:
        self._yard = yard

    def describe_target_health(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the tasks behind a target group with their health."""
        found = self._yard.behind.get(given["TargetGroupArn"], {})
        return {"TargetHealthDescriptions": [_told(each) for each in list(found.values())]}


def _told(behind: Behind) -> dict[str, Any]:
    health: dict[str, Any] = {"State": STATES[behind.task.health]}
    if health["State"] == "initial":
        health |= {"Reason": "Elb.RegistrationInProgress"}
    if health["State"] == "unhealthy":
        health |= {"Reason": "Target.FailedHealthChecks"}
    return {
        "Target": {"Id": behind.ip, "Port": behind.port},
        "HealthCheckPort": str(behind.port),
        "TargetHealth": health,
    }
