"""What Penstock emits for SageMaker is made, answers, and is deleted by the stand-in."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.rehearsal.account import ROLE, Account, failures
from tests.rehearsal.test_stacks import things
from tests.targets.sagemaker.cases import CASES, DOMAIN, manifest_of

from penstock.rehearsal.adapters import archive
from penstock.targets.aws.stack import Stack
from penstock.targets.sagemaker.stacks import Observed, emit

TRIED = (
    "realtime-domain",
    "realtime-key",
    "components-adapters",
    "async-asleep",
)
PROPERTIES: dict[str, Any] = dict(ROLE["Properties"])
TRUST = json.dumps(PROPERTIES["AssumeRolePolicyDocument"])


@pytest.fixture(scope="module")
def account(aws: Account) -> Iterator[Account]:
    """What the cases name as existing."""
    s3, iam, secrets = aws.client("s3"), aws.client("iam"), aws.client("secretsmanager")
    s3.create_bucket(Bucket="adapters")
    for name in ("org-a", "org-b"):
        s3.put_object(Bucket="adapters", Key=f"{name}.tar.gz", Body=archive(1))
    iam.create_role(RoleName="sagemaker-execution-of-domain", AssumeRolePolicyDocument=TRUST)
    secrets.create_secret(Name="hf", SecretString="token")
    yield aws
    for name in ("org-a", "org-b"):
        s3.delete_object(Bucket="adapters", Key=f"{name}.tar.gz")
    s3.delete_bucket(Bucket="adapters")
    iam.delete_role(RoleName="sagemaker-execution-of-domain")
    secrets.delete_secret(SecretId="hf", ForceDeleteWithoutRecovery=True)


def put(aws: Account, stack: Stack) -> dict[str, str]:
    made = aws.deploy(
        stack.name,
        dict(stack.template),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in stack.parameters.items()
        ],
        Tags=[{"Key": key, "Value": value} for key, value in stack.tags.items()],
    )
    assert failures(aws, made) == []
    assert made["StackStatus"] == "CREATE_COMPLETE"
    return aws.outputs(made)


@pytest.mark.parametrize("case", TRIED)
def test_an_emitted_deployment_comes_and_goes(account: Account, case: str) -> None:
    sections: dict[str, Any] = dict(CASES[case])
    if token := sections.get("target", {}).get("hub_token"):
        arn = account.client("secretsmanager").describe_secret(SecretId="hf")["ARN"]
        sections["target"] = sections["target"] | {"hub_token": f"${{secret:{arn}}}"}
        assert token
    manifest, before = manifest_of(**sections), things(account)
    domain = DOMAIN if manifest.target.domain else None
    first = emit(manifest, Observed("us-east-1", domain=domain))
    found = put(account, first.base)
    stacks = emit(manifest, Observed("us-east-1", domain=domain, base_outputs=found))
    outputs = put(account, stacks.main)
    endpoint = outputs["EndpointName"]
    told = account.client("sagemaker").describe_endpoint(EndpointName=endpoint)
    assert told["EndpointStatus"] in {"InService", "Updating"}  # or it falls asleep already
    assert account.destroy(stacks.main.name)["StackStatus"] == "DELETE_COMPLETE"
    assert account.destroy(stacks.base.name)["StackStatus"] == "DELETE_COMPLETE"
    assert things(account) == before
