"""Application Auto Scaling: targets and policies that really change how many copies run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from penstock.rehearsal.cloud import Cloud, now, unique
from penstock.rehearsal.metrics import statistic
from penstock.rehearsal.refusals import AwsError, invalid
from penstock.rehearsal.sagemaker.records import Estate

Parameters = dict[str, Any]
Key = tuple[str, str]
SAGEMAKER = "AWS/SageMaker"
LOW_FOR_S = 900.0
"""Target tracking scales in after the metric was low for 15 minutes."""
PREDEFINED = {
    "SageMakerVariantInvocationsPerInstance": ("Invocations", "Sum", 60.0),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": (
        "ConcurrentRequestsPerModel", "Average", 10.0,
    ),
    "SageMakerInferenceComponentInvocationsPerCopy": ("Invocations", "Sum", 60.0),
    "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution": (
        "ConcurrentRequestsPerCopy", "Average", 10.0,
    ),
}  # fmt: skip


@dataclass(slots=True)
class Target:
    """Something that scales between two bounds."""

    namespace: str
    resource: str
    dimension: str
    least: int
    most: int
    role: str
    arn: str
    changed_s: float
    created: datetime = field(default_factory=now)


@dataclass(slots=True)
class Policy:
    """How a target follows a metric or an alarm."""

    name: str
    arn: str
    target: Key
    kind: str
    spec: Parameters
    created: datetime = field(default_factory=now)
    out_s: float = -math.inf
    in_s: float = -math.inf


class Scaling:
    """The operations, and what a tick of time does with the policies."""

    def __init__(self, cloud: Cloud, estate: Estate) -> None:
        self._cloud, self._estate = cloud, estate
        self.targets: dict[Key, Target] = {}
        self.policies: dict[str, Policy] = {}
        self.activities: list[Parameters] = []

    def register_scalable_target(self, given: Parameters) -> Parameters:
        """Add a target or change its bounds."""
        key = given["ResourceId"], given["ScalableDimension"]
        old = self.targets.get(key)
        least = given.get("MinCapacity", old.least if old else None)
        most = given.get("MaxCapacity", old.most if old else None)
        if least is None or most is None or least > most:
            raise invalid("MinCapacity and MaxCapacity must be given, the smaller first")
        if given["ServiceNamespace"] == "sagemaker" and self._now(key) is None:
            raise invalid(f"there is no {given['ResourceId']} to scale")
        new = self._cloud.arn("application-autoscaling", f"scalable-target/{unique()}")
        arn = old.arn if old else new
        role, changed_s = given.get("RoleARN", ""), self._cloud.clock()
        self.targets[key] = Target(
            given["ServiceNamespace"], *key, least, most, role, arn, changed_s
        )
        return {"ScalableTargetARN": arn}

    def describe_scalable_targets(self, given: Parameters) -> Parameters:
        """Return the targets of a service."""
        wanted = given.get("ResourceIds") or [each.resource for each in self.targets.values()]
        return {
            "ScalableTargets": [
                {
                    "ServiceNamespace": each.namespace,
                    "ResourceId": each.resource,
                    "ScalableDimension": each.dimension,
                    "MinCapacity": each.least,
                    "MaxCapacity": each.most,
                    "RoleARN": each.role,
                    "CreationTime": each.created,
                    "ScalableTargetARN": each.arn,
                }
                for each in self.targets.values()
                if each.namespace == given["ServiceNamespace"] and each.resource in wanted
            ]
        }

    def deregister_scalable_target(self, given: Parameters) -> Parameters:
        """Forget a target and its policies."""
        key = given["ResourceId"], given["ScalableDimension"]
        if key not in self.targets:
            raise AwsError("ObjectNotFoundException", f"No scalable target found for {key[0]}")
        del self.targets[key]
        self.policies = {arn: p for arn, p in self.policies.items() if p.target != key}
        return {}

    def put_scaling_policy(self, given: Parameters) -> Parameters:
        """Add a policy or change it."""
        key = given["ResourceId"], given["ScalableDimension"]
        if key not in self.targets:
            raise AwsError(
                "ObjectNotFoundException", f"No scalable target registered for {key[0]}"
            )
        kind = given.get("PolicyType", "StepScaling")
        spec = given.get(f"{kind}PolicyConfiguration")
        if spec is None:
            raise invalid(f"{kind}PolicyConfiguration is required for {kind}")
        old = self._policy(key, given["PolicyName"])
        arn = (
            old.arn if old
            else self._cloud.arn(
                "autoscaling",
                f"scalingPolicy:{unique()}:resource/{given['ServiceNamespace']}/{key[0]}:"
                f"policyName/{given['PolicyName']}",
            )
        )  # fmt: skip
        self.policies[arn] = Policy(given["PolicyName"], arn, key, kind, spec)
        return {"PolicyARN": arn, "Alarms": []}

    def describe_scaling_policies(self, given: Parameters) -> Parameters:
        """Return the policies of a service."""
        return {
            "ScalingPolicies": [
                {
                    "PolicyARN": each.arn,
                    "PolicyName": each.name,
                    "ServiceNamespace": self.targets[each.target].namespace,
                    "ResourceId": each.target[0],
                    "ScalableDimension": each.target[1],
                    "PolicyType": each.kind,
                    f"{each.kind}PolicyConfiguration": each.spec,
                    "CreationTime": each.created,
                }
                for each in self.policies.values()
                if self.targets[each.target].namespace == given["ServiceNamespace"]
                and given.get("ResourceId", each.target[0]) == each.target[0]
            ]
        }

    def delete_scaling_policy(self, given: Parameters) -> Parameters:
        """Forget a policy."""
        found = self._policy(
            (given["ResourceId"], given["ScalableDimension"]), given["PolicyName"]
        )
        if found is None:
            raise AwsError(
                "ObjectNotFoundException", f"No scaling policy found: {given['PolicyName']}"
            )
        del self.policies[found.arn]
        return {}

    def describe_scaling_activities(self, given: Parameters) -> Parameters:
        """Return what was scaled, newest first."""
        wanted = given.get("ResourceId")
        return {
            "ScalingActivities": [
                each for each in reversed(self.activities) if wanted in {None, each["ResourceId"]}
            ]
        }

    def list_tags_for_resource(self, _: Parameters) -> Parameters:
        """Return no tags: they are not kept."""
        return {"Tags": {}}

    def tick(self) -> None:
        """Let every policy that tracks a metric look at it."""
        for policy in list(self.policies.values()):
            target = self.targets.get(policy.target)
            current = self._now(policy.target)
            if target is None or current is None:
                continue
            if policy.kind == "TargetTrackingScaling" and current > 0:
                self._track(policy, target, current)
        for key, target in list(self.targets.items()):
            current = self._now(key)
            if current is not None and not target.least <= current <= target.most:
                self._scale(target, min(max(current, target.least), target.most), "bounds")

    def ring(self, arn: str, above: float, alarm: str) -> None:
        """Let a step policy act on an alarm; `above`: how far the metric is over the threshold."""
        policy = self.policies.get(arn)
        target = self.targets.get(policy.target) if policy else None
        current = self._now(policy.target) if policy else None
        if policy is None or target is None or current is None:
            return
        if self._cloud.clock() < policy.out_s + policy.spec.get("Cooldown", 300):
            return
        for step in policy.spec["StepAdjustments"]:
            low = step.get("MetricIntervalLowerBound", -math.inf)
            if low <= above < step.get("MetricIntervalUpperBound", math.inf):
                wanted = _adjusted(current, policy.spec, step["ScalingAdjustment"])
                wanted = min(max(wanted, target.least), target.most)
                if wanted != current and self._scale(target, wanted, f"alarm {alarm}"):
                    policy.out_s = self._cloud.clock()

    def _track(self, policy: Policy, target: Target, current: int) -> None:
        clock, spec = self._cloud.clock(), policy.spec
        value = self._metric(spec, target, ago_s=None)
        if value is None:
            return
        goal = spec["TargetValue"]
        wanted = min(max(math.ceil(current * value / goal), target.least), target.most)
        if wanted > current and clock >= policy.out_s + spec.get("ScaleOutCooldown", 300):
            if self._scale(target, wanted, f"policy {policy.name}"):
                policy.out_s = policy.in_s = clock
        elif wanted < current and not spec.get("DisableScaleIn"):
            calm = max(policy.out_s, target.changed_s) + LOW_FOR_S <= clock
            high = self._metric(spec, target, ago_s=LOW_FOR_S)
            cool = clock >= policy.in_s + spec.get("ScaleInCooldown", 300)
            low = high is None or high < 0.9 * goal
            if calm and cool and low and self._scale(target, wanted, f"policy {policy.name}"):
                policy.in_s = clock

    def _metric(self, spec: Parameters, target: Target, *, ago_s: float | None) -> float | None:
        """Return the metric's last value, or the highest of the last `ago_s` seconds."""
        if predefined := spec.get("PredefinedMetricSpecification"):
            known = PREDEFINED.get(predefined["PredefinedMetricType"])
            if known is None:
                return None
            namespace, (name, how, period) = SAGEMAKER, known
            dimensions, per = _dimensions(target), self._now((target.resource, target.dimension))
        else:
            custom = spec["CustomizedMetricSpecification"]
            namespace, name, how = custom["Namespace"], custom["MetricName"], custom["Statistic"]
            dimensions = {each["Name"]: each["Value"] for each in custom.get("Dimensions", ())}
            period, per = 60.0, 1
        if how == "Average":
            per = 1  # the sampled gauges are per copy already
        count = max(1, int((ago_s or period) / period))
        found = [
            statistic(
                self._cloud.metrics.values(
                    namespace, name, dimensions, ago_s=(index + 1) * period, for_s=period
                ),
                how,
            )
            for index in range(count)
        ]
        values = [each for each in found if each is not None]
        if not values:
            return 0.0 if how == "Sum" else None
        return max(values) / max(per or 1, 1)

    def _now(self, key: Key) -> int | None:
        """Return the present capacity of a target; none where there is nothing."""
        parts = key[0].split("/")
        if parts[0] == "endpoint":
            endpoint = self._estate.endpoints.get(parts[1])
            variant = endpoint.variants.get(parts[3]) if endpoint else None
            return variant.wanted if variant else None
        if parts[0] == "inference-component":
            component = self._estate.components.get(parts[1])
            return component.wanted if component else None
        if parts[0] == "service":
            ecs = self._cloud.client("ecs")
            found = ecs.describe_services(cluster=parts[1], services=[parts[2]])["services"]
            return int(found[0]["desiredCount"]) if found else None
        return None

    def _scale(self, target: Target, wanted: int, why: str) -> bool:
        parts = target.resource.split("/")
        try:
            if parts[0] == "endpoint":
                self._cloud.client("sagemaker").update_endpoint_weights_and_capacities(
                    EndpointName=parts[1],
                    DesiredWeightsAndCapacities=[
                        {"VariantName": parts[3], "DesiredInstanceCount": wanted}
                    ],
                )
            elif parts[0] == "inference-component":
                self._cloud.client("sagemaker").update_inference_component_runtime_config(
                    InferenceComponentName=parts[1], DesiredRuntimeConfig={"CopyCount": wanted}
                )
            else:
                self._cloud.client("ecs").update_service(
                    cluster=parts[1], service=parts[2], desiredCount=wanted
                )
        except ClientError:
            return False  # it is being changed: the next tick comes
        target.changed_s = self._cloud.clock()
        self.activities.append(
            {
                "ActivityId": unique(32),
                "ServiceNamespace": target.namespace,
                "ResourceId": target.resource,
                "ScalableDimension": target.dimension,
                "Description": f"Setting desired capacity to {wanted}.",
                "Cause": why,
                "StartTime": now(),
                "StatusCode": "Successful",
            }
        )
        return True

    def _policy(self, key: Key, name: str) -> Policy | None:
        for each in self.policies.values():
            if each.target == key and each.name == name:
                return each
        return None


def _dimensions(target: Target) -> Mapping[str, str]:
    parts = target.resource.split("/")
    if parts[0] == "endpoint":
        return {"EndpointName": parts[1], "VariantName": parts[3]}
    return {"InferenceComponentName": parts[1]}


def _adjusted(current: int, spec: Parameters, by: int) -> int:
    kind = spec.get("AdjustmentType", "ChangeInCapacity")
    if kind == "ExactCapacity":
        return by
    if kind == "PercentChangeInCapacity":
        change = max(math.ceil(current * abs(by) / 100), spec.get("MinAdjustmentMagnitude", 1))
        return int(current + (change if by > 0 else -change))
    return current + by
