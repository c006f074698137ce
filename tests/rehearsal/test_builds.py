"""A build goes as far as it can without Docker: what a bundle lacks fails it."""

import io
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.rehearsal.account import Account, failures, wait_for
from tests.rehearsal.deployments import signed_in
from tests.rehearsal.test_kinds import BALANCED
from tests.rehearsal.writing import Tree, att, of, ref

from penstock.plan.steps import Found, Verb
from penstock.targets.aws.account import Account as Ours
from penstock.targets.aws.build_part import BuildPart
from penstock.targets.aws.builds import Builds, Workshop
from penstock.targets.aws.docker import Docker
from penstock.targets.aws.stack import ImageBuild

SPEC = """
version: 0.2
phases:
  build:
    commands: [docker build .]
"""
DOCKERFILE = """
# the gateway
ARG PYTHON=python:3.11
FROM ${PYTHON} AS packages
COPY constraints.txt penstock-*.whl ./
FROM ${PYTHON}
COPY --from=packages /opt /opt
ENTRYPOINT ["python", "-m", "penstock.cli.gateway"]
"""
GOOD = {
    "Dockerfile": DOCKERFILE,
    "buildspec.yml": SPEC,
    "constraints.txt": "a==1",
    "penstock-1.whl": "wheel",
}


def bundle(held: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in held.items():
            archive.writestr(name, text)
    return packed.getvalue()


@pytest.fixture(scope="module")
def project(aws: Account) -> Iterator[dict[str, str]]:
    resources: Tree = {
        "Role": BALANCED["Role"],
        "Bucket": of("S3::Bucket"),
        "Repository": of("ECR::Repository", EmptyOnDelete=True, ImageTagMutability="IMMUTABLE"),
        "Logs": of("Logs::LogGroup"),
        "Project": of(
            "CodeBuild::Project", ServiceRole=att("Role", "Arn"),
            Artifacts={"Type": "NO_ARTIFACTS"},
            Environment={
                "Type": "LINUX_CONTAINER", "ComputeType": "BUILD_GENERAL1_SMALL",
                "Image": "aws/codebuild/standard:7.0", "PrivilegedMode": True,
                "EnvironmentVariables": [
                    {"Name": "REPOSITORY_URI", "Value": att("Repository", "RepositoryUri")},
                    {"Name": "IMAGE_TAG", "Value": "none"},
                ],
            },
            Source={"Type": "S3", "Location": {"Fn::Sub": "${Bucket}/none.zip"}},
            LogsConfig={"CloudWatchLogs": {"Status": "ENABLED", "GroupName": ref("Logs")}},
        ),
    }  # fmt: skip
    outputs = {name: {"Value": ref(name)} for name in ("Bucket", "Repository", "Logs", "Project")}
    stack = aws.deploy("builds", {"Resources": resources, "Outputs": outputs})
    assert failures(aws, stack) == []
    told = aws.outputs(stack)
    yield told
    s3 = aws.client("s3")
    for each in s3.list_objects_v2(Bucket=told["Bucket"]).get("Contents", ()):
        s3.delete_object(Bucket=told["Bucket"], Key=each["Key"])
    assert aws.destroy("builds")["StackStatus"] == "DELETE_COMPLETE"


def build(aws: Account, project: dict[str, str], body: bytes, tag: str) -> Any:
    aws.client("s3").put_object(Bucket=project["Bucket"], Key=f"{tag}.zip", Body=body)
    codebuild = aws.client("codebuild")
    begun = codebuild.start_build(
        projectName=project["Project"],
        sourceTypeOverride="S3",
        sourceLocationOverride=f"{project['Bucket']}/{tag}.zip",
        environmentVariablesOverride=[{"name": "IMAGE_TAG", "value": tag}],
    )["build"]

    def over() -> Any:
        (found,) = codebuild.batch_get_builds(ids=[begun["id"]])["builds"]
        # An answer is made member by member, its state before the rest: a build may end meanwhile.
        return None if found["buildStatus"] == "IN_PROGRESS" else found

    return wait_for(over)


def why(told: Any) -> str:
    return " ".join(
        each["message"] for phase in told["phases"] for each in phase.get("contexts", ())
    )


def test_a_whole_bundle_becomes_an_image_record(aws: Account, project: dict[str, str]) -> None:
    told = build(aws, project, bundle(GOOD), "good")
    assert told["buildStatus"] == "SUCCEEDED", why(told)
    images = aws.client("ecr").list_images(repositoryName=project["Repository"])["imageIds"]
    assert [each["imageTag"] for each in images] == ["good"]
    events = aws.client("logs").get_log_events(
        logGroupName=told["logs"]["groupName"], logStreamName=told["logs"]["streamName"]
    )["events"]
    assert any("no image was built" in each["message"] for each in events)
    again = build(aws, project, bundle(GOOD), "good")
    assert again["buildStatus"] == "FAILED"
    assert "docker push" in why(again)


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ({"buildspec.yml": SPEC}, "Dockerfile: no such file"),
        ({k: v for k, v in GOOD.items() if k != "constraints.txt"}, "constraints.txt"),
        ({**GOOD, "buildspec.yml": "version: 9"}, "YAML_FILE_ERROR"),
        ({**GOOD, "Dockerfile": "ENTRYPOINT []"}, "no build stage"),
    ],
    ids=["no Dockerfile", "nothing to copy", "odd buildspec", "no FROM"],
)
def test_what_a_bundle_lacks_fails_the_build(
    aws: Account, project: dict[str, str], held: dict[str, str], reason: str
) -> None:
    told = build(aws, project, bundle(held), "poor")
    assert told["buildStatus"] == "FAILED"
    assert reason in why(told)


def test_a_build_fails_on_demand(aws: Account, project: dict[str, str]) -> None:
    aws.order("faults", {"kind": "build", "name": project["Project"]})
    told = build(aws, project, bundle(GOOD), "ordered")
    assert told["buildStatus"] == "FAILED"
    assert "docker build" in why(told)


def test_no_zip_is_no_source(aws: Account, project: dict[str, str]) -> None:
    told = build(aws, project, b"no zip", "odd")
    assert "not a zip file" in why(told)


PUSHES = """#!/usr/bin/env python
import boto3, os, sys
if sys.argv[1] == "info":
    print("x86_64")
elif sys.argv[1] == "login":
    assert sys.stdin.read(), "no password"
elif sys.argv[1] == "push":
    place, _, tag = sys.argv[2].rpartition(":")
    boto3.client("ecr", region_name="us-east-1").put_image(
        repositoryName=place.partition("/")[2], imageManifest=os.environ["MANIFEST"], imageTag=tag
    )
"""
MANIFEST = {
    "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"mediaType": "x", "size": 1, "digest": "sha256:" + "0" * 64}, "layers": [],
}  # fmt: skip


def test_docker_on_this_machine_builds_and_pushes_what_lies_in_the_bucket(
    aws: Account,
    project: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in signed_in(aws).items():
        monkeypatch.setenv(name, value)
    program = tmp_path / "docker"
    program.write_text(PUSHES.replace("/usr/bin/env python", sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("MANIFEST", json.dumps(MANIFEST))
    aws.client("s3").put_object(Bucket=project["Bucket"], Key="here.zip", Body=bundle(GOOD))
    workshop = Workshop(project["Bucket"], project["Project"], project["Repository"])
    with Ours("us-east-1") as account:
        assert not account.is_real  # so the real command would not do this
        part = BuildPart(
            ImageBuild("here", "here.zip"), lambda: Builds(account, workshop, Docker.find())
        )
        assert part.find() is Found.ABSENT
        part.do(Verb.APPLY, lambda _: None)
        assert part.find() is Found.PRESENT


def test_it_is_pushed_to_aws_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody")
    with Ours("eu-west-1") as account:
        assert account.is_real
