"""How the number of machines or copies follows the load.

Target tracking on requests in flight, a figure that CloudWatch has every ten seconds: a copy is
added when each has more than `scale.queue_per_replica` beyond those that it computes. From zero it
cannot track anything, so a step policy wakes the first copy on the first request that finds none.
Asynchronous endpoints follow their backlog, and wake on `HasBacklogWithoutCapacity`.
"""

from collections.abc import Iterator

from troposphere import AWSObject, Ref
from troposphere import applicationautoscaling as scaling

from penstock.targets.aws.alarms import MOST_PLACES, Watch, alarm
from penstock.targets.sagemaker.deployment import Deployment
from penstock.targets.sagemaker.hosting import VARIANT

SCALE_IN_S, SCALE_OUT_S = 300, 60
"""How long after a change nothing is taken away, or added."""


def autoscaling(deployment: Deployment) -> list[AWSObject]:
    """Scalable target and policies; none where the number never changes."""
    scale = deployment.manifest.scale
    if deployment.mode == "serverless":
        return []
    components = deployment.mode == "components"
    asynchronous = deployment.mode == "async"
    fewest, most = map(deployment.machines, (scale.min, scale.max))
    kind, what = ("variant", "DesiredInstanceCount")
    resource, needs = f"endpoint/{deployment.stack}/variant/{VARIANT}", "Endpoint"
    if components:
        fewest, most = scale.min, scale.max
        kind, what = ("inference-component", "DesiredCopyCount")
        resource, needs = f"inference-component/{deployment.base_component}", "BaseComponent"
    if fewest == most:
        return []
    target = scaling.ScalableTarget(
        "ScalableTarget",
        DependsOn=[needs],
        ServiceNamespace="sagemaker",
        ScalableDimension=f"sagemaker:{kind}:{what}",
        ResourceId=resource,
        MinCapacity=fewest,
        MaxCapacity=most,
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
    """Requests that a copy may have: those that it computes, and those that may wait for it.

    Where machines are counted it is of all copies on one.
    """
    computed = deployment.manifest.engine.max_sequences or 0
    of_one = computed + deployment.manifest.scale.queue_per_replica
    return of_one if deployment.mode == "components" else of_one * deployment.copies


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
    """The policy that starts the first copy, and the alarms that call for it."""
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
    return [policy, *(alarm(watch, [Ref(policy)]) for watch in _sleeping(deployment))]


def _sleeping(deployment: Deployment) -> Iterator[Watch]:
    """Requests that find no copy: those to an adapter may be counted under its own name."""
    about = "A request found no copy of the model: start one"
    metric, statistic = "NoCapacityInvocationFailures", "Sum"
    adapters = (deployment.component_of(name) for name in deployment.manifest.adapters)
    places = [{"InferenceComponentName": n} for n in (deployment.base_component, *adapters)]
    if deployment.mode == "async":
        metric, statistic = "HasBacklogWithoutCapacity", "Maximum"
        places = [{"EndpointName": deployment.stack}]
    for begin in range(0, len(places), MOST_PLACES):
        place, *others = places[begin : begin + MOST_PLACES]
        yield Watch(
            f"WakingAlarm{begin // MOST_PLACES + 1 if begin else ''}",
            about,
            "AWS/SageMaker",
            metric,
            place,
            statistic,
            threshold=1,
            minutes=1,
            elsewhere=tuple(others),
        )
