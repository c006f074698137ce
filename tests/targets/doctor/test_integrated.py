"""An existing role or domain: looked at before it is used, never altered."""

import json
from pathlib import Path

import pytest
from tests.rehearsal.account import Account
from tests.targets.doctor.test_permissions import allowing, role

from penstock.cli.app import main

MANIFEST = """
name: bot
model: {{id: embedded, context: 2048}}
target: {{kind: sagemaker, region: us-east-1, instances: [g5.xlarge], {more}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_role_that_cannot_run_the_containers_is_not_deployed_to(
    aws: Account, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arn = role(aws, "weak", allowing("logs:*"))
    Path("penstock.yaml").write_text(MANIFEST.format(more=f"role: '{arn}'"))
    assert main(["deploy", "--yes"]) == 1
    said = capfd.readouterr().err
    assert "the execution role may not s3:GetObject" in said
    assert '"ecr:BatchGetImage"' in said
    stacks = aws.client("cloudformation").describe_stacks()["Stacks"]
    assert not [each for each in stacks if each["StackName"].startswith("penstock-bot")]
    assert aws.client("iam").list_role_policies(RoleName="weak")["PolicyNames"] == ["p0"]


def test_a_domain_lends_its_role_and_network(
    aws: Account, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="d", Description="d", VpcId=vpc)["GroupId"]
    arn = role(aws, "of-domain", allowing("s3:*", "ecr:*", "logs:*", "cloudwatch:*"))
    made = aws.client("sagemaker").create_domain(
        DomainName="lab",
        AuthMode="IAM",
        DefaultUserSettings={"ExecutionRole": arn, "SecurityGroups": [group]},
        SubnetIds=[subnet],
        VpcId=vpc,
    )
    name = made["DomainArn"].rpartition("/")[2]
    Path("penstock.yaml").write_text(MANIFEST.format(more=f"domain: {name}"))
    capfd.readouterr()
    assert main(["doctor", "--json"]) == 1
    found = {each["check"]: each for each in map(json.loads, capfd.readouterr().out.splitlines())}
    assert found["permissions.domain"]["verdict"] == "ok"
    assert vpc in found["permissions.domain"]["evidence"]
    assert found["permissions.trust"]["verdict"] == "ok"
    lacking = found["permissions.execution"]
    assert lacking["verdict"] == "failed"
    assert "ec2:" in json.dumps(lacking["policy"]), "it has to stand in the domain's network"
    assert found["network.routes"]["verdict"] == "failed"
    assert subnet in found["network.routes"]["evidence"]
