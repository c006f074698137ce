"""Baking: what a roll-out waits for before it is final, and what makes it go back."""

from typing import Any

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.sagemaker.launching import LaunchFailed


def bake(cloud: Cloud, deployment: dict[str, Any]) -> None:
    """Wait as a `DeploymentConfig` says; raises LaunchFailed where one of its alarms is on."""
    wish = deployment.get("AutoRollbackConfiguration", {}).get("Alarms", ())
    names = [each["AlarmName"] for each in wish]
    if not names:
        return
    rolling = deployment.get("RollingUpdatePolicy", {})
    policy = deployment.get("BlueGreenUpdatePolicy") or rolling
    routing = policy.get("TrafficRoutingConfiguration", {})
    cloud.clock.sleep(routing.get("WaitIntervalInSeconds", policy.get("WaitIntervalInSeconds", 0)))
    told = cloud.client("cloudwatch").describe_alarms(
        AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    alarms = [*told["MetricAlarms"], *told["CompositeAlarms"]]
    # moto does not look at StateValue where names are given
    ringing = [each["AlarmName"] for each in alarms if each["StateValue"] == "ALARM"]
    if ringing:
        raise LaunchFailed(
            "One or more configured alarms has gone into alarm during deployment: "
            + ", ".join(ringing)
        )
