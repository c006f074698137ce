"""A stack of components for tests: a base with an adapter that scale to zero and wake."""

from typing import Any

Tree = dict[str, Any]
ENDPOINT, BASE, ADAPTER, VARIANT = "rehearsed", "rehearsed-base", "rehearsed-adapter", "main"
INSTANCE = "ml.g5.xlarge"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:0.30.0-gpu-py312-cu130-ubuntu24.04"


def components(adapter: str, *, endpoint: str = ENDPOINT) -> Tree:
    """Return the template; `adapter` is the s3:// address of a LoRA adapter's archive."""
    return {
        "Resources": {
            "Role": _role(),
            "Config": _of("SageMaker::EndpointConfig", **_config()),
            "Endpoint": _of(
                "SageMaker::Endpoint",
                EndpointName=endpoint,
                EndpointConfigName=_att("Config", "EndpointConfigName"),
            ),
            "Base": _of("SageMaker::InferenceComponent", **_base()),
            "Adapter": {
                **_of("SageMaker::InferenceComponent", **_adapter(adapter)),
                "DependsOn": "Base",
            },
            "Target": {
                **_of("ApplicationAutoScaling::ScalableTarget", **_target()),
                "DependsOn": "Base",
            },
            "Tracking": _of("ApplicationAutoScaling::ScalingPolicy", **_tracking()),
            "Wake": _of("ApplicationAutoScaling::ScalingPolicy", **_wake()),
            "Alarm": _of("CloudWatch::Alarm", **_alarm()),
        },
        "Outputs": {"EndpointName": {"Value": _att("Endpoint", "EndpointName")}},
    }


def _role() -> Tree:
    return _of(
        "IAM::Role",
        AssumeRolePolicyDocument={
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sagemaker.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        },
    )


def _config() -> Tree:
    scaling = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 2}
    variant = {
        "VariantName": VARIANT,
        "InstanceType": INSTANCE,
        "InitialInstanceCount": 1,
        "ManagedInstanceScaling": scaling,
    }
    return {"ExecutionRoleArn": _att("Role", "Arn"), "ProductionVariants": [variant]}


def _base() -> Tree:
    return {
        "InferenceComponentName": BASE,
        "EndpointName": _att("Endpoint", "EndpointName"),
        "VariantName": VARIANT,
        "Specification": {
            "Container": {"Image": IMAGE, "Environment": {"SM_VLLM_ENABLE_LORA": "true"}},
            "ComputeResourceRequirements": {
                "MinMemoryRequiredInMb": 1024,
                "NumberOfAcceleratorDevicesRequired": 1,
            },
        },
        "RuntimeConfig": {"CopyCount": 1},
    }


def _adapter(archive: str) -> Tree:
    return {
        "InferenceComponentName": ADAPTER,
        "EndpointName": _att("Endpoint", "EndpointName"),
        "Specification": {
            "BaseInferenceComponentName": BASE,
            "Container": {"ArtifactUrl": archive},
        },
    }


def _target() -> Tree:
    return {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
        "ResourceId": f"inference-component/{BASE}",
        "MinCapacity": 0,
        "MaxCapacity": 2,
    }


def _tracking() -> Tree:
    metric = {"PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"}
    return {
        "PolicyName": "follow",
        "PolicyType": "TargetTrackingScaling",
        "ScalingTargetId": {"Ref": "Target"},
        "TargetTrackingScalingPolicyConfiguration": {
            "PredefinedMetricSpecification": metric,
            "TargetValue": 2,
            "ScaleInCooldown": 300,
            "ScaleOutCooldown": 60,
        },
    }


def _wake() -> Tree:
    return {
        "PolicyName": "wake",
        "PolicyType": "StepScaling",
        "ScalingTargetId": {"Ref": "Target"},
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ExactCapacity",
            "Cooldown": 60,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    }


def _alarm() -> Tree:
    return {
        "Namespace": "AWS/SageMaker",
        "MetricName": "NoCapacityInvocationFailures",
        "Dimensions": [{"Name": "InferenceComponentName", "Value": BASE}],
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "AlarmActions": [{"Ref": "Wake"}],
    }


def _of(kind: str, **properties: Any) -> Tree:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def _att(name: str, attribute: str) -> Tree:
    return {"Fn::GetAtt": [name, attribute]}
