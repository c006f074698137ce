"""IAM is enforced where it is asked for: the printed policy is enough, and it is needed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.rehearsal.account import ROLE, Account
from tests.rehearsal.deployments import CHAT, Deployments, signed_in

from penstock.cli.output import ExitCode

NAME = "least"


@pytest.fixture
def user(strict: Account) -> Iterator[dict[str, str]]:
    """A user with no permissions; its access key."""
    iam = strict.client("iam")
    iam.create_user(UserName="deployer")
    key = iam.create_access_key(UserName="deployer")["AccessKey"]
    yield {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    for name in iam.list_user_policies(UserName="deployer")["PolicyNames"]:
        iam.delete_user_policy(UserName="deployer", PolicyName=name)
    for each in iam.list_attached_user_policies(UserName="deployer")["AttachedPolicies"]:
        iam.detach_user_policy(UserName="deployer", PolicyArn=each["PolicyArn"])
        iam.delete_policy(PolicyArn=each["PolicyArn"])
    iam.delete_access_key(UserName="deployer", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="deployer")


def grant(aws: Account, policy: Any) -> None:
    aws.client("iam").put_user_policy(
        UserName="deployer",
        PolicyName="least",
        PolicyDocument=json.dumps({"Version": "2012-10-17", **policy}),
    )


def attach(aws: Account, folder: Path) -> None:
    """Attach every part of the rendered policy, as `role.sh` does."""
    iam = aws.client("iam")
    for file in sorted(folder.glob("iam/deployer-*.json")):
        made = iam.create_policy(PolicyName=file.stem, PolicyDocument=file.read_text())
        iam.attach_user_policy(UserName="deployer", PolicyArn=made["Policy"]["Arn"])


def client_of(aws: Account, key: dict[str, str], service: str) -> Any:
    return boto3.client(
        service,
        region_name=aws.region,
        endpoint_url=aws.url,
        aws_access_key_id=key["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=key["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture
def least(
    strict: Account,
    user: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Deployments:
    """The commands as run by the user without permissions."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**signed_in(strict), **user}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PENSTOCK_CONFIG", str(tmp_path / "config"))
    return Deployments(strict, tmp_path, capsys)


def test_the_printed_policy_is_enough_and_needed(strict: Account, least: Deployments) -> None:
    before = least.things()
    least.write(NAME)
    refused = least.deploy(code=ExitCode.FAILED)
    assert "not authorized to perform: cloudformation:" in json.dumps(refused)
    printed, _ = least.run("render", "--iam", "--json")
    policy = json.loads(printed)
    grant(strict, policy)
    told = least.deploy()
    runtime = strict.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(
        EndpointName=told["outputs"]["EndpointName"],
        Body=json.dumps(CHAT),
        ContentType="application/json",
    )
    assert json.loads(answer["Body"].read())["choices"][0]["message"]["content"]
    least.destroy()
    kept = [each for each in least.things() if each["type"] != "AWS::Logs::LogGroup"]
    assert kept == before


FRONTS: dict[str, dict[str, Any]] = {
    "gateway": {
        "front": {
            "kind": "gateway",
            "plain_http": True,
            "internal": True,
            "state": "managed",
            "tasks_max": 2,
            "waf": True,
        },
        "ui": "open-webui",
        "target": {"network": {"own": True}, "kms_key": "own"},
    },
    "rest": {"front": {"kind": "rest", "waf": True}},
}


def plain(least: Deployments) -> list[Any]:
    return [each for each in least.things() if each["type"] != "AWS::Logs::LogGroup"]


@pytest.mark.parametrize("front", FRONTS)
def test_the_printed_policy_and_the_roles_it_makes_are_enough_for_a_front(
    strict: Account, least: Deployments, tmp_path: Path, front: str
) -> None:
    """The deployer's, in parts; ECS's; the gateway's, which reads settings and keys, and asks."""
    least.write(f"least-{front}", model={"id": "embedded"}, **FRONTS[front])
    least.run("render", "--out", str(tmp_path / "rendered"))
    attach(strict, tmp_path / "rendered")
    before = plain(least)
    _, err = least.run("deploy", "--yes")
    assert re.search(r"/_at/\S+ answers in \d+ ms: '\w", err), err
    least.destroy(*(["--remove-data"] if front == "gateway" else []))
    assert plain(least) == before


def test_each_service_says_no_in_its_own_words(strict: Account, user: dict[str, str]) -> None:
    grant(strict, {"Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]})
    calls: dict[str, tuple[str, dict[str, Any], str]] = {
        "sagemaker": ("list_endpoints", {}, "AccessDeniedException"),
        "iam": ("list_roles", {}, "AccessDenied"),
        "s3": ("get_bucket_policy", {"Bucket": "theirs"}, "AccessDenied"),
        "ec2": ("describe_vpcs", {}, "UnauthorizedOperation"),
        "cloudformation": ("describe_stacks", {}, "AccessDenied"),
        "lambda": ("list_functions", {}, "AccessDeniedException"),
        "logs": ("describe_log_groups", {}, "AccessDeniedException"),
        "apigateway": ("get_rest_apis", {}, "AccessDeniedException"),
    }
    for service, (call, given, code) in calls.items():
        client = client_of(strict, user, service)
        with pytest.raises(ClientError) as caught:
            getattr(client, call)(**given)
        assert caught.value.response["Error"]["Code"] == code, service
        assert "is not authorized to perform" in caught.value.response["Error"]["Message"]
        client.close()
    sts = client_of(strict, user, "sts")
    assert sts.get_caller_identity()["Arn"].endswith(":user/deployer")
    sts.close()


def test_a_role_is_passed_only_with_permission(strict: Account, user: dict[str, str]) -> None:
    iam = strict.client("iam")
    trust = json.dumps(ROLE["Properties"]["AssumeRolePolicyDocument"])
    arn = iam.create_role(RoleName="handed-on", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    sagemaker = client_of(strict, user, "sagemaker")
    wish = {
        "ModelName": "handed-on",
        "ExecutionRoleArn": arn,
        "PrimaryContainer": {"Image": "vllm:1"},
    }
    create = {"Effect": "Allow", "Action": "sagemaker:CreateModel", "Resource": "*"}
    grant(strict, {"Statement": [create]})
    with pytest.raises(ClientError, match="iam:PassRole on resource"):
        sagemaker.create_model(**wish)
    only = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    passing = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": arn, "Condition": only}
    grant(strict, {"Statement": [create, passing]})
    sagemaker.create_model(**wish)
    sagemaker.close()
    strict.client("sagemaker").delete_model(ModelName="handed-on")
    iam.delete_role(RoleName="handed-on")


def test_a_stranger_is_refused(strict: Account) -> None:
    key = {"AWS_ACCESS_KEY_ID": "AKIANOBODY", "AWS_SECRET_ACCESS_KEY": "x"}
    client = client_of(strict, key, "sagemaker")
    with pytest.raises(ClientError, match="security token included in the request is invalid"):
        client.list_endpoints()
    client.close()


def test_policies_are_simulated(aws: Account) -> None:
    iam = aws.client("iam")
    trust = json.dumps(ROLE["Properties"]["AssumeRolePolicyDocument"])
    arn = iam.create_role(RoleName="simulated", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    bucket = "arn:aws:s3:::models/*"
    statements = [
        {"Effect": "Allow", "Action": "s3:*", "Resource": bucket},
        {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"},
    ]
    document = {"Version": "2012-10-17", "Statement": statements}
    iam.put_role_policy(RoleName="simulated", PolicyName="p", PolicyDocument=json.dumps(document))
    told = iam.simulate_principal_policy(
        PolicySourceArn=arn,
        ActionNames=["s3:GetObject", "s3:DeleteObject", "ecr:GetAuthorizationToken"],
        ResourceArns=["arn:aws:s3:::models/a"],
    )["EvaluationResults"]
    assert [(each["EvalActionName"], each["EvalDecision"]) for each in told] == [
        ("s3:GetObject", "allowed"),
        ("s3:DeleteObject", "explicitDeny"),
        ("ecr:GetAuthorizationToken", "implicitDeny"),
    ]
    assert told[0]["MatchedStatements"][0]["SourcePolicyId"] == "p"
    with pytest.raises(ClientError) as caught:
        iam.simulate_principal_policy(PolicySourceArn=arn + "x", ActionNames=["s3:GetObject"])
    assert caught.value.response["Error"]["Code"] == "NoSuchEntity"
    iam.delete_role_policy(RoleName="simulated", PolicyName="p")
    iam.delete_role(RoleName="simulated")


def test_the_simulator_takes_no_patterns(strict: Account) -> None:
    with pytest.raises(ClientError, match="is a pattern"):
        strict.client("iam").simulate_custom_policy(
            PolicyInputList=[json.dumps({"Version": "2012-10-17", "Statement": []})],
            ActionNames=["s3:Get*"],
        )
