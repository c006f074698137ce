"""Every call that the commands make to AWS is one that botocore's service models take.

boto3 checks required parameters and types by itself; lengths, ranges, patterns and enumerations it
leaves to AWS. Here all of them are looked at, of every call of a deployment's whole life.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore
import pytest
from botocore.model import OperationModel
from tests.rehearsal.deployments import Deployments

from penstock.cli.output import ExitCode
from penstock.rehearsal.adapters import archive
from penstock.rehearsal.constraints import check
from penstock.rehearsal.refusals import AwsError


@dataclass(slots=True)
class Recorder:
    """What was called, as botocore's events tell of it, and what is wrong with it."""

    calls: set[str] = field(default_factory=set)
    flaws: list[str] = field(default_factory=list)

    def listen(self, session: Any) -> None:
        session.register("before-parameter-build", self.hear)

    def hear(self, params: dict[str, Any], model: OperationModel, **_: Any) -> None:
        name = f"{model.service_model.service_name}:{model.name}"
        self.calls.add(name)
        try:
            check(params, model.input_shape)
        except AwsError as error:
            self.flaws.append(f"{name}: {error.message}")


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    botocore.register_initializer(made.listen)
    yield made
    botocore.unregister_initializer(made.listen)


LIVES: dict[str, dict[str, Any]] = {
    "components": {
        "target": {"mode": "components", "kms_key": "own", "alarm_email": "ops@example.com"},
        "scale": {"min": 0, "max": 2},
        "adapters": {"org-a": "s3://called-adapters/org-a.tar.gz"},
    },
    "async": {"target": {"mode": "async"}, "scale": {"min": 0, "max": 2}},
    "rest": {"front": {"kind": "rest"}, "model": {"id": "embedded"}},
}
AWAKE = {"min": 1, "max": 2}
ALWAYS = {
    *(f"cloudformation:{name}" for name in (
        "DescribeStacks", "CreateChangeSet", "DescribeChangeSet", "ExecuteChangeSet",
        "ListChangeSets", "DeleteChangeSet", "DescribeStackEvents", "ListStackResources",
        "GetTemplate", "DeleteStack",
    )),
    *(f"s3:{name}" for name in ("HeadObject", "ListObjectVersions", "DeleteObjects")),
    *(f"sagemaker:{name}" for name in ("DescribeEndpoint", "ListInferenceComponents")),
    "sts:GetCallerIdentity", "cloudwatch:DescribeAlarms", "iam:SimulatePrincipalPolicy",
    "logs:DescribeLogGroups", "logs:DescribeLogStreams", "service-quotas:ListServiceQuotas",
}  # fmt: skip
OF_A_LIFE = {
    "components": {"sagemaker:DescribeInferenceComponent", "sagemaker-runtime:InvokeEndpoint"},
    "async": {"sagemaker-runtime:InvokeEndpointAsync", "s3:GetObject"},
    "rest": {"codebuild:StartBuild", "codebuild:BatchGetBuilds", "ecr:DescribeImages"},
}


@pytest.mark.parametrize("life", LIVES)
def test_every_call_of_a_life_is_valid(
    deployments: Deployments, recorder: Recorder, life: str
) -> None:
    s3 = deployments.aws.client("s3")
    if life == "components":
        s3.create_bucket(Bucket="called-adapters")
        s3.put_object(Bucket="called-adapters", Key="org-a.tar.gz", Body=archive(1))
    sections = LIVES[life]
    if "scale" in sections:  # what sleeps already is not asked by who deploys it
        deployments.write(f"called-{life}", **sections | {"scale": AWAKE})
        deployments.deploy()
    deployments.write(f"called-{life}", **sections)
    at = ("--file", str(deployments.file))
    deployments.run("diff")
    deployments.deploy()
    deployments.deploy()
    deployments.run_with("status", *at)
    deployments.run_with("logs", *at)
    told, _ = deployments.run("doctor", "--json")
    assert "nothing is given for the gateway" not in told
    deployments.destroy()
    if life == "components":
        s3.delete_object(Bucket="called-adapters", Key="org-a.tar.gz")
        s3.delete_bucket(Bucket="called-adapters")
    assert recorder.flaws == []
    assert recorder.calls >= ALWAYS | OF_A_LIFE[life]


def test_a_call_that_aws_would_refuse_is_found(
    deployments: Deployments, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    sagemaker = boto3.session.Session().client("sagemaker", "us-east-1")
    with caplog.at_level(logging.CRITICAL):
        for name in ("no_underscores", "x" * 64):
            with pytest.raises(sagemaker.exceptions.ClientError):
                sagemaker.describe_endpoint(EndpointName=name)
    sagemaker.close()
    assert len(recorder.flaws) == 2
    assert all(re.match(r"sagemaker:DescribeEndpoint: 1 validation", e) for e in recorder.flaws)
    deployments.write("called-never")
    deployments.run("destroy", "--yes", code=ExitCode.OK)
