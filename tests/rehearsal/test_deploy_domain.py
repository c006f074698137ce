"""A deployment inside what is there: a SageMaker domain's network and role are used, and kept."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.rehearsal.account import Account
from tests.rehearsal.deployments import Deployments
from tests.rehearsal.foreign import snapshot

from penstock.cli.output import ExitCode

ROLE = "team-execution"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
NEXT_TO_NOTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["logs:PutLogEvents"], "Resource": "*"}],
}


def give(aws: Account, name: str, policy: str) -> None:
    """Give the domain's role a policy."""
    aws.client("iam").put_role_policy(RoleName=ROLE, PolicyName=name, PolicyDocument=policy)


@pytest.fixture(params=["with-groups", "without-groups"])
def domain(aws: Account, request: pytest.FixtureRequest) -> Iterator[str]:
    """The id of a domain with a network of its own and a role that may do next to nothing.

    A domain that AWS's quick setup made has no security groups for its users.
    """
    ec2, iam, sagemaker = (aws.client(name) for name in ("ec2", "iam", "sagemaker"))
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{at}.0/24", AvailabilityZone=zone)
        for at, zone in enumerate(("us-east-1a", "us-east-1b"))
    ]
    names = [each["Subnet"]["SubnetId"] for each in subnets]
    group = ec2.create_security_group(VpcId=vpc, GroupName="team", Description="team")["GroupId"]
    role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    give(aws, "had", json.dumps(NEXT_TO_NOTHING))
    made = sagemaker.create_domain(
        DomainName="team",
        AuthMode="IAM",
        VpcId=vpc,
        SubnetIds=names,
        DefaultUserSettings={
            "ExecutionRole": role["Arn"],
            **({"SecurityGroups": [group]} if request.param == "with-groups" else {}),
        },
    )
    name = made["DomainArn"].rpartition("/")[2]
    yield name
    sagemaker.delete_domain(DomainId=name)
    for policy in ("had", "missing"):
        iam.delete_role_policy(RoleName=ROLE, PolicyName=policy)
    iam.delete_role(RoleName=ROLE)
    ec2.delete_security_group(GroupId=group)
    for each in names:
        ec2.delete_subnet(SubnetId=each)
    ec2.delete_vpc(VpcId=vpc)


def description_of(domain: str, aws: Account) -> dict[str, Any]:
    found: dict[str, Any] = aws.client("sagemaker").describe_domain(DomainId=domain)
    del found["ResponseMetadata"]
    return found


def test_a_domain_is_used_and_nothing_of_it_is_touched(
    deployments: Deployments, domain: str
) -> None:
    aws = deployments.aws
    sagemaker = aws.client("sagemaker")
    described = description_of(domain, aws)
    deployments.write("inside", target={"domain": domain})

    error = deployments.deploy(code=ExitCode.FAILED)["error"]
    assert ROLE in error["why"]
    assert "s3:GetObject" in error["what"]
    fix = error["fix"]

    give(
        aws, "missing", fix[fix.index("{") : fix.rindex("}") + 1]
    )  # what is said to be missing is enough
    before = snapshot(aws)
    told = deployments.deploy()
    assert told["outputs"]["SageMakerIntegrationMode"] == f"domain {domain}"
    endpoint = sagemaker.describe_endpoint(EndpointName="penstock-inside")
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    settings = described["DefaultUserSettings"]
    assert model["ExecutionRoleArn"] == settings["ExecutionRole"]
    place = model["VpcConfig"]
    assert place["Subnets"] == described["SubnetIds"]
    if "SecurityGroups" in settings:
        assert place["SecurityGroupIds"] == settings["SecurityGroups"]
    else:  # one is made in the domain's network, that lets nobody in
        ec2 = aws.client("ec2")
        (made,) = ec2.describe_security_groups(GroupIds=place["SecurityGroupIds"])[
            "SecurityGroups"
        ]
        assert made["VpcId"] == described["VpcId"]
        assert made["IpPermissions"] == []
    deployments.destroy()
    assert snapshot(aws) == before
    assert description_of(domain, aws) == described
