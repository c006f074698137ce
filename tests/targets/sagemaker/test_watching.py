"""Alarms and dashboards look at figures that AWS has, under the dimensions that it has them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.targets.sagemaker.cases import CASES, emitted, manifest_of

from penstock.targets.aws.alarms import MOST_PLACES
from penstock.targets.sagemaker.stacks import Observed, emit

VARIANT, COMPONENT = {"EndpointName", "VariantName"}, {"InferenceComponentName"}
ENDPOINT, BALANCED, FUNCTION = {"EndpointName"}, {"LoadBalancer", "TargetGroup"}, {"FunctionName"}
EITHER = (VARIANT, COMPONENT)
METRICS: dict[str, dict[str, tuple[set[str], ...]]] = {
    "AWS/SageMaker": {
        "Invocations": EITHER,
        "Invocation4XXErrors": EITHER,
        "Invocation5XXErrors": EITHER,
        "ModelLatency": EITHER,
        "OverheadLatency": EITHER,
        "FirstChunkLatency": (VARIANT,),
        "MidStreamErrors": (VARIANT,),
        "ConcurrentRequestsPerModel": (VARIANT,),
        "ConcurrentRequestsPerCopy": (COMPONENT,),
        "NoCapacityInvocationFailures": (COMPONENT,),
        "InvocationsProcessed": (VARIANT,),
        "ApproximateBacklogSize": (ENDPOINT,),
        "ApproximateBacklogSizePerInstance": (ENDPOINT,),
        "ApproximateAgeOfOldestRequest": (ENDPOINT,),
        "HasBacklogWithoutCapacity": (ENDPOINT,),
    },
    "/aws/sagemaker/Endpoints": dict.fromkeys(
        (
            *("CPUUtilization", "CPUUtilizationNormalized", "MemoryUtilization"),
            *("DiskUtilization", "GPUUtilization", "GPUMemoryUtilization"),
        ),
        (VARIANT,),
    ),
    "/aws/sagemaker/InferenceComponents": dict.fromkeys(
        ("GPUUtilizationNormalized", "GPUMemoryUtilizationNormalized"), (COMPONENT,)
    ),
    "AWS/ApplicationELB": dict.fromkeys(
        (
            *("RequestCount", "HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count"),
            *("HealthyHostCount", "UnHealthyHostCount"),
        ),
        (BALANCED,),
    ),
    "AWS/ECS": dict.fromkeys(
        ("CPUUtilization", "MemoryUtilization"), ({"ClusterName", "ServiceName"},)
    ),
    "AWS/ApiGateway": dict.fromkeys(("Count", "4XXError", "5XXError"), ({"ApiName"},)),
    "AWS/Lambda": dict.fromkeys(("ConcurrentExecutions", "Errors", "Throttles"), (FUNCTION,)),
}
"""Which metrics there are, by namespace, and under which dimensions; from AWS's guides, 2026-11:
"Amazon SageMaker AI metrics in Amazon CloudWatch", "Metric name mapping", "Monitoring asynchronous
endpoints", and those of the other services."""
NOT_OF_ASYNC = {"Invocations", "InvocationsPerInstance", "OverheadLatency"}
"""What asynchronous endpoints do not publish."""


def rows(name: str) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Namespace, metric and names of the dimensions of all that is looked at."""
    resources: Any = emitted(name).main.template["Resources"]
    for each in resources.values():
        wish = each.get("Properties", {})
        if each["Type"] == "AWS::CloudWatch::Alarm":
            stats = [
                q["MetricStat"]["Metric"] for q in wish.get("Metrics", ()) if "MetricStat" in q
            ]
            for one in stats or [wish]:
                named = frozenset(every["Name"] for every in one["Dimensions"])
                yield one["Namespace"], one["MetricName"], named
        elif each["Type"] == "AWS::CloudWatch::Dashboard":
            body = wish["DashboardBody"]
            text = body["Fn::Sub"] if isinstance(body, dict) else body
            for widget in json.loads(text)["widgets"]:
                for namespace, metric, *where in widget["properties"]["metrics"]:
                    yield namespace, metric, frozenset(where[:-1:2])


@pytest.mark.parametrize("name", CASES)
def test_every_figure_is_one_that_aws_has(name: str) -> None:
    found = list(rows(name))
    assert found
    for namespace, metric, dimensions in found:
        assert dimensions in METRICS[namespace][metric], (metric, dimensions)
    if name.startswith("async"):
        assert not NOT_OF_ASYNC & {metric for _, metric, _ in found}


def alarms(adapters: int) -> dict[str, Any]:
    manifest = manifest_of(
        **CASES["components-asleep"]
        | {"adapters": {f"customer-{n}": f"s3://adapters/{n}.tar.gz" for n in range(adapters)}}
    )
    made: Any = emit(manifest, Observed("us-east-1")).main.template["Resources"]
    return {
        name: each["Properties"]
        for name, each in made.items()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    }


def components_of(alarm: Any) -> set[str]:
    places = [q["MetricStat"]["Metric"]["Dimensions"][0] for q in alarm["Metrics"][1:]]
    return {each["Value"] for each in places if each["Name"] == "InferenceComponentName"}


def test_a_request_to_any_adapter_wakes_the_model() -> None:
    found = {name: each for name, each in alarms(20).items() if name.startswith("Waking")}
    assert len(found) == 3
    seen: set[str] = set()
    for each in found.values():
        assert len(each["Metrics"]) <= MOST_PLACES + 1 == 10
        assert each["AlarmActions"] == [{"Ref": "WakingPolicy"}]
        seen |= components_of(each)
    assert len(seen) == 21


def test_errors_of_an_adapter_undo_a_roll_out_too() -> None:
    few = alarms(2)["ErrorsAlarm"]
    assert components_of(few) >= {"penstock-support-bot-base", "penstock-support-bot-customer-1"}
    assert few["Metrics"][0]["Expression"] == "MAX([at0, at1, at2, at3])"
    assert len(alarms(20)["ErrorsAlarm"]["Metrics"]) == 10
