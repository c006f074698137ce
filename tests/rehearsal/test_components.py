"""Inference components: copies that come and go, adapters that ride, scale to zero and wake."""

import json
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from tests.rehearsal.account import ROLE, Account, failures, wait_for
from tests.rehearsal.test_thread import ASK, token

from penstock.rehearsal.adapters import archive

EP = "parts"
BASE: dict[str, Any] = {
    "Type": "AWS::SageMaker::InferenceComponent",
    "Properties": {
        "InferenceComponentName": "base",
        "EndpointName": {"Fn::GetAtt": ["Endpoint", "EndpointName"]},
        "VariantName": "main",
        "Specification": {
            "Container": {"Image": "vllm:1", "Environment": {"SM_VLLM_ENABLE_LORA": "true"}},
            "ComputeResourceRequirements": {
                "MinMemoryRequiredInMb": 1024, "NumberOfAcceleratorDevicesRequired": 1,
            },
        },
        "RuntimeConfig": {"CopyCount": 1},
    },
}  # fmt: skip
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
}


def components(adapter: str) -> dict[str, Any]:
    rider = {
        "Type": "AWS::SageMaker::InferenceComponent",
        "DependsOn": "Base",
        "Properties": {
            "InferenceComponentName": "rider",
            "EndpointName": {"Fn::GetAtt": ["Endpoint", "EndpointName"]},
            "Specification": {
                "BaseInferenceComponentName": "base",
                "Container": {"ArtifactUrl": adapter},
            },
        },
    }
    config = {
        "ExecutionRoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
        "ProductionVariants": [
            {
                "VariantName": "main",
                "InstanceType": "ml.g5.xlarge",
                "InitialInstanceCount": 1,
                "ManagedInstanceScaling": {
                    "Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 2,
                },
            }
        ],
    }  # fmt: skip
    target = {
        "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
        "DependsOn": "Base",
        "Properties": {
            **TARGET, "ResourceId": "inference-component/base", "MinCapacity": 0, "MaxCapacity": 2,
        },
    }  # fmt: skip
    tracking = {
        "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
        "Properties": {
            "PolicyName": "follow",
            "PolicyType": "TargetTrackingScaling",
            "ScalingTargetId": {"Ref": "Target"},
            "TargetTrackingScalingPolicyConfiguration": {
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"
                },
                "TargetValue": 5, "ScaleInCooldown": 60, "ScaleOutCooldown": 60,
            },
        },
    }  # fmt: skip
    wake = {
        "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
        "Properties": {
            "PolicyName": "wake",
            "PolicyType": "StepScaling",
            "ScalingTargetId": {"Ref": "Target"},
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ExactCapacity",
                "Cooldown": 60,
                "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
            },
        },
    }
    alarm = {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "Namespace": "AWS/SageMaker", "MetricName": "NoCapacityInvocationFailures",
            "Statistic": "Maximum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "missing", "AlarmActions": [{"Ref": "Wake"}],
            "Dimensions": [{"Name": "InferenceComponentName", "Value": "base"}],
        },
    }  # fmt: skip
    endpoint = {
        "EndpointName": EP, "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}
    }  # fmt: skip
    return {
        "Resources": {
            "Role": ROLE,
            "Config": {"Type": "AWS::SageMaker::EndpointConfig", "Properties": config},
            "Endpoint": {"Type": "AWS::SageMaker::Endpoint", "Properties": endpoint},
            "Base": BASE,
            "Rider": rider,
            "Target": target,
            "Tracking": tracking,
            "Wake": wake,
            "Alarm": alarm,
        }
    }


def ask(aws: Account, component: str) -> httpx.Response:
    return httpx.post(
        f"{aws.url}/endpoints/{EP}/inference-components/{component}/openai/v1/chat/completions",
        json={**ASK, "temperature": 0},
        headers={"Authorization": f"Bearer {token(aws)}"},
    )


def says(aws: Account, component: str) -> str:
    answer = ask(aws, component)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def test_the_life_of_a_component_with_an_adapter(aws: Account) -> None:
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    s3.create_bucket(Bucket="adapters")
    for seed in (1, 2):
        s3.put_object(Bucket="adapters", Key=f"{seed}.tar.gz", Body=archive(seed))

    stack = aws.deploy(EP, components("s3://adapters/1.tar.gz"))
    assert failures(aws, stack) == []
    plain, first = says(aws, "base"), says(aws, "rider")
    assert plain != first
    with pytest.raises(ClientError, match="depend on it"):
        sagemaker.delete_inference_component(InferenceComponentName="base")

    stack = aws.deploy(EP, components("s3://adapters/2.tar.gz"))
    assert stack["StackStatus"] == "UPDATE_COMPLETE", failures(aws, stack)
    assert says(aws, "rider") not in {plain, first}

    def copies() -> int:
        answer = sagemaker.describe_inference_component(InferenceComponentName="base")
        return int(answer["RuntimeConfig"]["CurrentCopyCount"])

    def grown() -> bool:
        says(aws, "base")
        return copies() == 2

    wait_for(grown)
    aws.order("clock", {"advance_s": 2000})
    wait_for(lambda: copies() == 0)
    refused = ask(aws, "base")
    assert refused.status_code == 400
    assert refused.headers["x-amzn-errortype"] == "ValidationError"
    wait_for(lambda: copies() == 1)
    assert says(aws, "base") == plain

    s3.delete_object(Bucket="adapters", Key="1.tar.gz")
    s3.delete_object(Bucket="adapters", Key="2.tar.gz")
    s3.delete_bucket(Bucket="adapters")
    assert aws.destroy(EP)["StackStatus"] == "DELETE_COMPLETE"
    assert sagemaker.list_inference_components()["InferenceComponents"] == []


def test_an_adapter_component_takes_no_copies(aws: Account) -> None:
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
    )
    assert answer.status_code == 400
    assert answer.json()["__type"] == "ValidationException"
    assert "regular expression pattern" in answer.json()["message"]
