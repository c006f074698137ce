"""Alarms over several figures: adapters count for themselves, and still wake and warn."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.rehearsal.account import Account, wait_for
from tests.rehearsal.deployments import CHAT, Deployments

from penstock.rehearsal.adapters import archive
from penstock.rehearsal.expressions import calculate
from penstock.rehearsal.refusals import AwsError

NAME = "watched"


@pytest.fixture
def watched(aws: Account, deployments: Deployments) -> Iterator[Deployments]:
    """A model that sleeps, with an adapter."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="watched-adapters")
    s3.put_object(Bucket="watched-adapters", Key="org-a.tar.gz", Body=archive(1))
    deployments.write(
        NAME,
        target={"mode": "components"},
        scale={"min": 0, "max": 1},
        adapters={"org-a": "s3://watched-adapters/org-a.tar.gz"},
    )
    deployments.deploy()
    yield deployments
    deployments.destroy()
    s3.delete_object(Bucket="watched-adapters", Key="org-a.tar.gz")
    s3.delete_bucket(Bucket="watched-adapters")


def copies(aws: Account) -> int:
    told = aws.client("sagemaker").describe_inference_component(
        InferenceComponentName=f"penstock-{NAME}-base"
    )
    return int(told["RuntimeConfig"]["CurrentCopyCount"])


def ask(aws: Account) -> Any:
    return aws.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=f"penstock-{NAME}",
        InferenceComponentName=f"penstock-{NAME}-org-a",
        Body=json.dumps(CHAT),
        ContentType="application/json",
    )


def ringing(aws: Account) -> dict[str, str]:
    """The names of alarms that ring, by what they are about."""
    pages = aws.client("cloudwatch").get_paginator("describe_alarms")
    rows = (row for page in pages.paginate() for row in page["MetricAlarms"])
    rings = (row for row in rows if row["StateValue"] == "ALARM")
    return {row["AlarmDescription"]: row["AlarmName"] for row in rings}


def test_a_request_to_an_adapter_wakes_the_model(aws: Account, watched: Deployments) -> None:
    aws.order("clock", {"advance_s": 3600})
    wait_for(lambda: copies(aws) == 0)
    with pytest.raises(ClientError, match="has no capacity"):
        ask(aws)

    def answered() -> bytes:
        """Where it is awake for less time than a request needs, the next one wakes it again."""
        try:
            return bytes(ask(aws)["Body"].read())
        except ClientError as error:
            if "has no capacity" not in str(error):
                raise
            return b""

    assert wait_for(answered)


def test_errors_of_an_adapter_ring(aws: Account, watched: Deployments) -> None:
    place = [{"Name": "InferenceComponentName", "Value": f"penstock-{NAME}-org-a"}]

    def fail() -> str | None:
        aws.client("cloudwatch").put_metric_data(
            Namespace="AWS/SageMaker",
            MetricData=[{"MetricName": "Invocation5XXErrors", "Dimensions": place, "Value": 9}],
        )
        return ringing(aws).get("The model answers with errors")

    def rings() -> bool:
        return "The model answers with errors" in ringing(aws)

    name = wait_for(fail)
    wait_for(lambda: not rings())  # what rings from now on does so until it is taken away
    aws.order("faults", {"kind": "alarm", "name": name, "times": 10**6})
    wait_for(rings)
    told, _ = watched.run("doctor", "--json")
    assert "the container fails on requests" in told
    aws.order("faults", method="DELETE")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("MAX([a, b])", 3.0),
        ("MAX([a, none])", 2.0),
        ("MAX([none])", None),
        ("SUM([a, b, none])", 5.0),
        ("a / b", 2 / 3),
        ("a + none", None),
        ("a / zero", None),
    ],
)
def test_metric_math(expression: str, value: float | None) -> None:
    known = {"a": 2.0, "b": 3.0, "none": None, "zero": 0.0}
    assert calculate(expression, known) == value


def test_metric_math_that_is_not_known_is_refused() -> None:
    with pytest.raises(AwsError, match="cannot calculate"):
        calculate("ANOMALY_DETECTION_BAND(a)", {"a": 1.0})
