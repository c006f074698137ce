"""CloudWatch answers with what the engines really did, and with what clients put there."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.rehearsal.account import Account, one_model, wait_for

ASK = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4})

DAY_S = 86_400
"""A full hour may come while a test runs; a day ends in none."""


def span() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"StartTime": now - timedelta(minutes=10), "EndTime": now + timedelta(minutes=1)}


def query(name: str, statistic: str, metric: str, **dimensions: str) -> dict[str, Any]:
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/SageMaker",
                "MetricName": metric,
                "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions.items()],
            },
            "Period": DAY_S,
            "Stat": statistic,
        },
    }


def test_invocations_and_latency_are_told(aws: Account) -> None:
    assert aws.deploy("told", one_model(EndpointName="told"))["StackStatus"] == "CREATE_COMPLETE"
    runtime, cloudwatch = aws.client("sagemaker-runtime"), aws.client("cloudwatch")
    begin = time.monotonic()
    for _ in range(3):
        runtime.invoke_endpoint(EndpointName="told", Body=ASK)["Body"].read()
    with pytest.raises(ClientError):
        runtime.invoke_endpoint(EndpointName="told", Body=b"no json")
    took_us = (time.monotonic() - begin) * 1e6
    where = {"EndpointName": "told", "VariantName": "main"}
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[
            query("calls", "Sum", "Invocations", **where),
            query("wrong", "Sum", "Invocation4XXErrors", **where),
            query("slow", "Maximum", "ModelLatency", **where),
            {"Id": "share", "Expression": "100 * wrong / calls", "Label": "errors"},
        ],
        **span(),
    )["MetricDataResults"]
    told = {each["Id"]: sum(each["Values"]) for each in answer}
    assert told["calls"] == 4
    assert told["wrong"] == 1
    assert told["share"] == 25
    assert 0 < told["slow"] <= took_us
    (point,) = cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker", MetricName="Invocations", Period=DAY_S, Statistics=["Sum"],
        ExtendedStatistics=["p90"],
        Dimensions=[{"Name": k, "Value": v} for k, v in where.items()], **span(),
    )["Datapoints"]  # fmt: skip
    assert (point["Sum"], point["ExtendedStatistics"]) == (4, {"p90": 1})
    listed = cloudwatch.list_metrics(
        Namespace="AWS/SageMaker", Dimensions=[{"Name": "EndpointName", "Value": "told"}]
    )["Metrics"]
    assert "ModelLatency" in {each["MetricName"] for each in listed}

    logs, group = aws.client("logs"), "/aws/sagemaker/Endpoints/told"

    def written() -> Any:
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return None
        streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
        if not streams:  # the group is made first
            return None
        (stream,) = streams
        return logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])[
            "events"
        ]

    assert wait_for(written)
    assert aws.destroy("told")["StackStatus"] == "DELETE_COMPLETE"


def test_what_a_client_puts_is_there(aws: Account) -> None:
    cloudwatch = aws.client("cloudwatch")
    data = {"MetricName": "Waiting", "Values": [1.0, 5.0], "Counts": [2.0, 1.0]}
    cloudwatch.put_metric_data(Namespace="Penstock", MetricData=[data])
    (point,) = cloudwatch.get_metric_statistics(
        Namespace="Penstock", MetricName="Waiting", Period=DAY_S, **span(),
        Statistics=["SampleCount", "Average"],
    )["Datapoints"]  # fmt: skip
    assert (point["SampleCount"], point["Average"]) == (3, pytest.approx(7 / 3))
    with pytest.raises(ClientError, match="cannot calculate"):
        cloudwatch.get_metric_data(
            MetricDataQueries=[
                query("a", "Sum", "Invocations"),
                {"Id": "b", "Expression": "ANOMALY_DETECTION_BAND(a)"},
            ],
            **span(),
        )
