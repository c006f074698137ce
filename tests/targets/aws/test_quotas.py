"""Quotas of the account: boto3 against a stand-in over a real socket."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fakes.aws_answers import fake_aws

from penstock.targets.aws.quotas import quota_value

G = "Running On-Demand G and VT instances"
P = "Running On-Demand P instances"


def quotas(operation: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    assert body["ServiceCode"] == "ec2"
    if operation == "ListServiceQuotas":
        return {"Quotas": [{"QuotaName": G, "Value": 8.0}]}
    return {"Quotas": [{"QuotaName": G, "Value": 0.0}, {"QuotaName": P, "Value": 0.0}]}


@pytest.mark.usefixtures("credentials")
def test_the_applied_value_counts_then_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_aws(quotas) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICE_QUOTAS", aws.url)
        assert quota_value("ec2", G, "eu-west-1") == 8
        assert quota_value("ec2", P, "eu-west-1") == 0
        assert quota_value("ec2", "Running Dreams", "eu-west-1") is None
