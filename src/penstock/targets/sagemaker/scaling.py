"""How the number of machines or copies follows the load.

Target tracking on requests in flight, a figure that CloudWatch has every ten seconds: a copy is
added when each has more than `scale.queue_per_replica` beyond those that it computes. From zero it
cannot track anything, so a step policy wakes the first copy on the first request that finds none.
Asynchronous endpoints follow their backlog, and wake on `HasBacklogWithoutCapacity`.
"""

from troposphere import AWSObject, Ref, cloudwatch
from troposphere import applicationautoscaling as scaling

from penstock.targets.sagemaker.deployment import Deployment
from penstock.targets.sagemaker.hosting import VARIANT

SCALE_IN_S, SCALE_OUT_S = 300, 60
"""How long after a change nothing is taken away, or added."""


def autoscaling(deployment: Deployment) -> list[AWSObject]:
    """Scalable target and policies; none where the number never changes."""
    scale = deployment.manifest.scale
    if scale.min == scale.max or deployment.mode == "serverless":
        return []
    components = deployment.mode == "components"
    asynchronous = deployment.mode == "async"
    kind, what = ("variant", "DesiredInstanceCount")
    resource, needs = f"endpoint/{deployment.stack}/variant/{VARIANT}", "Endpoint"
    if components:
        kind, what = ("inference-component", "DesiredCopyCount")
        resource, needs = f"inference-component/{deployment.base_component}", "BaseComponent"
    target = scaling.ScalableTarget(
        "ScalableTarget",
        DependsOn=[needs],
        ServiceNamespace="sagemaker",
        ScalableDimension=f"sagemaker:{kind}:{what}",
        ResourceId=resource,
        MinCapacity=scale.min,
        MaxCapacity=scale.max,
    )
    tracked = _backlog(deployment) if asynchronous else _in_flight(deployment, components)
    wanted = scaling.TargetTrackingScalingPolicyConfiguration(
        TargetValue=target_value(deployment),
        ScaleInCooldown=SCALE_IN_S,
        ScaleOutCooldown=SCALE_OUT_S,
        **tracked,
    )
    policy = scaling.ScalingPolicy(
        "TrackingPolicy",
        PolicyName=f"{deployment.stack}-tracking",
        PolicyType="TargetTrackingScaling",
        ScalingTargetId=Ref(target),
        TargetTrackingScalingPolicyConfiguration=wanted,
    )
    return [target, policy, *(_waking(deployment, target) if scale.min == 0 else [])]


def target_value(deployment: Deployment) -> int:
    """Requests that a copy may have: those that it computes, and those that may wait for it."""
    computed = deployment.manifest.engine.max_sequences or 0
    return computed + deployment.manifest.scale.queue_per_replica


def _in_flight(deployment: Deployment, components: bool) -> dict[str, object]:
    name = (
        "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"
        if components
        else "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    )
    predefined = scaling.PredefinedMetricSpecification(PredefinedMetricType=name)
    return {"PredefinedMetricSpecification": predefined}


def _backlog(deployment: Deployment) -> dict[str, object]:
    place = scaling.MetricDimension(Name="EndpointName", Value=deployment.stack)
    custom = scaling.CustomizedMetricSpecification(
        Namespace="AWS/SageMaker",
        MetricName="ApproximateBacklogSizePerInstance",
        Dimensions=[place],
        Statistic="Average",
    )
    return {"CustomizedMetricSpecification": custom}


def _waking(deployment: Deployment, target: AWSObject) -> list[AWSObject]:
    """The policy and the alarm that start the first copy."""
    policy = scaling.ScalingPolicy(
        "WakingPolicy",
        PolicyName=f"{deployment.stack}-waking",
        PolicyType="StepScaling",
        ScalingTargetId=Ref(target),
        StepScalingPolicyConfiguration=scaling.StepScalingPolicyConfiguration(
            AdjustmentType="ChangeInCapacity",
            MetricAggregationType="Maximum",
            Cooldown=SCALE_OUT_S,
            StepAdjustments=[
                scaling.StepAdjustment(MetricIntervalLowerBound=0, ScalingAdjustment=1)
            ],
        ),
    )
    metric, statistic, dimension = (
        ("HasBacklogWithoutCapacity", "Maximum", ("EndpointName", deployment.stack))
        if deployment.mode == "async"
        else (
            "NoCapacityInvocationFailures",
            "Sum",
            ("InferenceComponentName", deployment.base_component),
        )
    )
    alarm = cloudwatch.Alarm(
        "WakingAlarm",
        AlarmDescription="A request found no copy of the model: start one",
        AlarmActions=[Ref(policy)],
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[cloudwatch.MetricDimension(Name=dimension[0], Value=dimension[1])],
        Statistic=statistic,
        Period=60,
        EvaluationPeriods=1,
        DatapointsToAlarm=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
    )
    return [policy, alarm]
