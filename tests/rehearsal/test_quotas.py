"""What Service Quotas tells is what endpoints are held to."""

import pytest
from botocore.exceptions import ClientError
from tests.rehearsal.account import ROLE, Account, wait_for

from penstock.targets.aws.quotas import quota_value

NAME = "ml.g6e.xlarge for endpoint usage"


def test_an_endpoint_is_held_to_its_quota(aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {"AWS_ACCESS_KEY_ID": "rehearsal", "AWS_SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    assert quota_value("sagemaker", NAME, aws.region) == 20
    assert quota_value("ec2", "Running On-Demand G and VT instances", aws.region) == 256
    assert quota_value("sagemaker", "no such quota", aws.region) is None
    aws.order("quotas", {NAME: 1})
    assert quota_value("sagemaker", NAME, aws.region) == 1

    iam, sagemaker = aws.client("iam"), aws.client("sagemaker")
    trust = str(ROLE["Properties"]["AssumeRolePolicyDocument"]).replace("'", '"')
    role = iam.create_role(RoleName="quotas", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    variant = {
        "VariantName": "main",
        "InstanceType": "ml.g6e.xlarge",
        "InitialInstanceCount": 2,
    }
    sagemaker.create_endpoint_config(
        EndpointConfigName="quotas", ExecutionRoleArn=role, ProductionVariants=[variant]
    )
    with pytest.raises(ClientError) as caught:
        sagemaker.create_endpoint(EndpointName="quotas", EndpointConfigName="quotas")
    assert caught.value.response["Error"]["Code"] == "ResourceLimitExceeded"
    assert "is 1 Instances" in str(caught.value)
    aws.order("quotas", {NAME: 2})
    sagemaker.create_endpoint(EndpointName="quotas", EndpointConfigName="quotas")
    describe = sagemaker.describe_endpoint
    wait_for(lambda: describe(EndpointName="quotas")["EndpointStatus"] == "InService")
    sagemaker.delete_endpoint(EndpointName="quotas")
    sagemaker.delete_endpoint_config(EndpointConfigName="quotas")
    iam.delete_role(RoleName="quotas")
    aws.order("quotas", {NAME: 20})
    wait_for(lambda: not sagemaker.list_endpoints(NameContains="quotas")["Endpoints"])


def test_instances_are_offered_and_a_domain_is_described(aws: Account) -> None:
    ec2, sagemaker = aws.client("ec2"), aws.client("sagemaker")
    offered = ec2.describe_instance_type_offerings(
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": ["g5.xlarge"]}],
    )["InstanceTypeOfferings"]
    assert offered
    made = sagemaker.create_domain(
        DomainName="team", AuthMode="IAM", VpcId="vpc-1", SubnetIds=["subnet-1"],
        DefaultUserSettings={"ExecutionRole": "arn:aws:iam::123456789012:role/x"},
    )  # fmt: skip
    name = made["DomainArn"].rpartition("/")[2]
    told = sagemaker.describe_domain(DomainId=name)
    assert told["DefaultUserSettings"]["ExecutionRole"].endswith("role/x")
    sagemaker.delete_domain(DomainId=name)
