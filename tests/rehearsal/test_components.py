"""Inference components: the whole play, and what a component refuses."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from tests.rehearsal.account import Account, wait_for

from penstock.rehearsal.play.acts import ADAPTER, BASE, BUCKET, NAME, play
from penstock.rehearsal.play.commands import Commands
from penstock.rehearsal.play.stage import Stage


def refusal_of_deleting(sagemaker: Any, component: str) -> str:
    """Why it is not deleted once no scaling is under way, for which it would be refused, too."""

    def look() -> str | None:
        with pytest.raises(ClientError) as refused:
            sagemaker.delete_inference_component(InferenceComponentName=component)
        why = str(refused.value)
        return None if "while it is in state" in why else why

    told: str = wait_for(look)
    return told


def test_the_play_goes_as_it_should(aws: Account, tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []

    def tell(act: str, text: str) -> None:
        told.append((act, text))

    stage, commands = Stage(aws.said, tell), Commands(tmp_path, aws.said, tell)
    play(stage, commands, ("capacity",), keep=True)
    stage.close()
    assert {act for act, _ in told} == {
        "prepare", "deploy", "chat", "status", "diff", "roll", "scale", "sleep", "wake",
        "break: capacity",
    }  # fmt: skip
    sagemaker = aws.client("sagemaker")
    assert f"{ADAPTER} depend on it" in refusal_of_deleting(sagemaker, BASE)
    with pytest.raises(ClientError, match="has no RuntimeConfig"):
        sagemaker.update_inference_component_runtime_config(
            InferenceComponentName=ADAPTER, DesiredRuntimeConfig={"CopyCount": 2}
        )
    activities = aws.client("application-autoscaling").describe_scaling_activities(
        ServiceNamespace="sagemaker"
    )["ScalingActivities"]
    assert {each["Cause"].split()[0] for each in activities} >= {"policy", "alarm"}
    ended = commands.run("destroy", "destroy", str(tmp_path / NAME / "penstock.yaml"), "--yes")
    assert ended.code == 0
    assert sagemaker.list_inference_components()["InferenceComponents"] == []
    s3 = aws.client("s3")
    for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        s3.delete_object(Bucket=BUCKET, Key=each["Key"])
    s3.delete_bucket(Bucket=BUCKET)
    stage.close()


def test_a_component_needs_its_endpoint(aws: Account) -> None:
    with pytest.raises(ClientError, match="Could not find endpoint"):
        aws.client("sagemaker").create_inference_component(
            InferenceComponentName="lost",
            EndpointName="nowhere",
            Specification={"Container": {"ArtifactUrl": "s3://a/b"}},
        )


def test_names_are_checked_as_botocore_describes_them(aws: Account) -> None:
    """A client that does not look itself is told by the service."""
    answer = httpx.post(
        aws.url,
        headers={
            "X-Amz-Target": "SageMaker.CreateModel",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": "AWS4-HMAC-SHA256 "
            "Credential=rehearsal/20260101/us-east-1/sagemaker/aws4_request",
        },
        content=json.dumps({"ModelName": "not_a_name!"}),
        timeout=60,
    )
    assert answer.status_code == 400
    assert answer.json()["__type"] == "ValidationException"
    assert "regular expression pattern" in answer.json()["message"]
