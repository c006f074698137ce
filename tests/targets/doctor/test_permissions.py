"""What IAM's simulator says of a deployer and of an execution role, and what would mend it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.rehearsal.account import Account

from penstock.manifest.model import Manifest
from penstock.targets.aws.account import Account as Ours
from penstock.targets.doctor import permissions
from penstock.targets.doctor.cloud import Patient
from penstock.targets.doctor.finding import Finding, Verdict
from penstock.targets.sagemaker.deployer import Deployer

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"},
         "Action": "sts:AssumeRole"}
    ],
}  # fmt: skip
WATCHES = ("cloudwatch:PutMetricData", "cloudwatch:DescribeAlarms")
STRANGER = json.loads(json.dumps(TRUST).replace("sagemaker", "lambda"))


def allowing(*actions: str, effect: str = "Allow", resource: str = "*") -> dict[str, Any]:
    statement = {"Effect": effect, "Action": list(actions), "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.fixture(scope="module")
def ours(aws: Account) -> Iterator[Ours]:
    with Ours("us-east-1") as account:
        yield account


def role(aws: Account, name: str, *policies: dict[str, Any], trust: object = TRUST) -> str:
    iam = aws.client("iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    for number, policy in enumerate(policies):
        iam.put_role_policy(
            RoleName=name, PolicyName=f"p{number}", PolicyDocument=json.dumps(policy)
        )
    return str(made["Role"]["Arn"])


def manifest(**target: object) -> Manifest:
    return Manifest.model_validate(
        {
            "name": "bot",
            "model": {"id": "s3://models/mine.tar.gz", "context": 2048},
            "target": {"kind": "sagemaker", "instances": ["g5.xlarge"], **target},
        }
    )


def execution(ours: Ours, arn: str, tmp_path: Any) -> dict[str, Finding]:
    deployer = Deployer(ours, manifest(role=arn), tmp_path)
    return {each.check: each for each in Patient(deployer).execution_permissions()}


def test_a_role_that_may_do_all(aws: Account, ours: Ours, tmp_path: Any) -> None:
    arn = role(aws, "complete", allowing("s3:*", "ecr:*", "logs:*", *WATCHES))
    found = execution(ours, arn, tmp_path)
    assert {each.verdict for each in found.values()} == {Verdict.OK}
    assert "complete" in found["permissions.execution"].evidence


def test_what_is_missing_comes_as_a_policy_that_mends_it(
    aws: Account, ours: Ours, tmp_path: Any
) -> None:
    arn = role(aws, "poor", allowing("logs:*", "cloudwatch:PutMetricData"))
    before = aws.client("iam").list_role_policies(RoleName="poor")["PolicyNames"]
    found = execution(ours, arn, tmp_path)["permissions.execution"]
    assert found.verdict is Verdict.FAILED
    assert "s3:GetObject" in found.says
    assert found.policy is not None
    told = json.dumps(found.policy)
    assert "arn:aws:s3:::models/*" in told
    assert "ecr:BatchGetImage" in told
    assert "logs:" not in told
    assert aws.client("iam").list_role_policies(RoleName="poor")["PolicyNames"] == before
    aws.client("iam").put_role_policy(RoleName="poor", PolicyName="mend", PolicyDocument=told)
    assert execution(ours, arn, tmp_path)["permissions.execution"].verdict is Verdict.OK


def test_an_explicit_deny_is_not_mended_by_a_policy(
    aws: Account, ours: Ours, tmp_path: Any
) -> None:
    everything = allowing("*")
    arn = role(aws, "forbidden", everything, allowing("s3:GetObject", effect="Deny"))
    found = execution(ours, arn, tmp_path)["permissions.execution"]
    assert found.verdict is Verdict.FAILED
    assert "an explicit deny" in found.says
    assert "No policy of its own helps" in found.fix


def test_a_role_that_sagemaker_may_not_take(aws: Account, ours: Ours, tmp_path: Any) -> None:
    arn = role(aws, "of-lambda", allowing("*"), trust=STRANGER)
    found = execution(ours, arn, tmp_path)["permissions.trust"]
    assert found.verdict is Verdict.FAILED
    assert "lambda.amazonaws.com" in found.evidence
    assert "sts:AssumeRole" in found.fix


@pytest.mark.parametrize(
    ("allowed", "verdict"),
    [(("*",), Verdict.OK), (("cloudformation:*", "s3:*"), Verdict.FAILED)],
)
def test_the_deployer(
    aws: Account, ours: Ours, allowed: tuple[str, ...], verdict: Verdict
) -> None:
    statements: list[dict[str, object]] = [
        {"Effect": "Allow", "Action": ["sagemaker:CreateEndpoint", "s3:PutObject"],
         "Resource": ["arn:aws:sagemaker:us-east-1:123456789012:endpoint/penstock-bot"]},
        {"Effect": "Allow", "Action": ["iam:PassRole"],
         "Resource": ["arn:aws:iam::123456789012:role/r"],
         "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}},
    ]  # fmt: skip
    who = role(aws, f"deployer-{len(allowed)}", allowing(*allowed))
    facts = permissions.simulate(ours, who, statements)
    (found,) = permissions.check(facts, "permissions.deployer", "the deployer")
    assert found.verdict is verdict
    if verdict is Verdict.FAILED:
        names = {each.action for each in facts.denied}
        assert names == {"sagemaker:CreateEndpoint", "iam:PassRole"}
        assert "iam:PassRole" in json.dumps(found.policy)


def test_a_session_is_simulated_as_its_role(aws: Account, ours: Ours) -> None:
    arn = role(aws, "worn")
    session = "arn:aws:sts::123456789012:assumed-role/worn/me"
    assert permissions.principal_of(ours, session) == arn
    assert permissions.principal_of(ours, arn) == arn


def test_pieces_of_templates_become_definite() -> None:
    names = {"AWS::Region": "eu-west-1", "Bucket.Arn": "arn:aws:s3:::b"}
    given = {
        "Resource": [
            {"Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:x"},
            {"Fn::GetAtt": ["Bucket", "Arn"]},
            {"Fn::Sub": "${Bucket.Arn}/*"},
            {"Ref": "Unknown"},
        ]
    }
    assert permissions.definite(given, names) == {
        "Resource": ["arn:*:logs:eu-west-1:x", "arn:aws:s3:::b", "arn:aws:s3:::b/*", "*"]
    }
