"""Faults on demand look as AWS's do, and strike as often as they were ordered."""

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.rehearsal.account import Account, failures, one_model


@pytest.mark.parametrize(
    ("service", "call", "given", "code", "status"),
    [
        ("cloudformation", "describe_stacks", {}, "Throttling", 400),
        ("cloudwatch", "describe_alarms", {}, "Throttling", 400),
        ("ec2", "describe_vpcs", {}, "RequestLimitExceeded", 503),
        ("iam", "list_roles", {}, "Throttling", 400),
        ("lambda", "list_functions", {}, "TooManyRequestsException", 429),
        ("logs", "describe_log_groups", {}, "ThrottlingException", 400),
        ("s3", "get_object", {"Bucket": "any", "Key": "x"}, "SlowDown", 503),
        ("sagemaker", "list_endpoints", {}, "ThrottlingException", 400),
        ("ecs", "list_clusters", {}, "ThrottlingException", 400),
    ],
)
def test_each_service_throttles_in_its_own_words(
    aws: Account, service: str, call: str, given: dict[str, Any], code: str, status: int
) -> None:
    aws.order("faults", {"kind": "throttling", "service": service})
    once = boto3.client(
        service,
        region_name=aws.region,
        endpoint_url=aws.url,
        config=Config(retries={"max_attempts": 0}),
        **aws.credentials,
    )
    with pytest.raises(ClientError) as caught:
        getattr(once, call)(**given)
    once.close()
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    if service != "s3":
        getattr(aws.client(service), call)(**given)  # it struck once


def test_a_container_that_crashes_fails_its_endpoint(aws: Account) -> None:
    aws.order("faults", {"kind": "crash", "name": "crashed"})
    stack = aws.deploy("crashed", one_model(EndpointName="crashed"))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "did not pass the ping health check" in dict(failures(aws, stack))["Endpoint"]
    assert aws.destroy("crashed")["StackStatus"] == "DELETE_COMPLETE"


def test_what_is_no_fault_is_refused(aws: Account) -> None:
    with pytest.raises(AssertionError, match="there is no fault rain"):
        aws.order("faults", {"kind": "rain"})
