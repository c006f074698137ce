"""Application Auto Scaling."""

from penstock.rehearsal.cloudformation.kinds import Api, Properties, Scene
from penstock.rehearsal.cloudformation.records import Made


def _target_id(_: Scene, made: Made) -> None:
    wish = made.properties
    made.physical_id = "|".join(
        (wish["ResourceId"], wish["ScalableDimension"], wish["ServiceNamespace"])
    )
    made.attributes["Id"] = made.physical_id


def _of_target(_: Scene, wish: Properties) -> Properties:
    rest = {name: value for name, value in wish.items() if name != "ScalingTargetId"}
    if target := wish.get("ScalingTargetId"):
        names = ("ResourceId", "ScalableDimension", "ServiceNamespace")
        rest |= dict(zip(names, target.split("|"), strict=True))
    return rest


def _remember_target(_: Scene, made: Made) -> None:
    if target := made.properties.get("ScalingTargetId"):
        names = ("ResourceId", "ScalableDimension", "ServiceNamespace")
        made.attributes |= dict(zip(names, target.split("|"), strict=True))


KINDS = {
    "AWS::ApplicationAutoScaling::ScalableTarget": Api(
        "application-autoscaling", "register_scalable_target", "=ResourceId", after=_target_id,
        update="register_scalable_target", delete="deregister_scalable_target",
        delete_by={
            "ServiceNamespace": "=ServiceNamespace", "ResourceId": "=ResourceId",
            "ScalableDimension": "=ScalableDimension",
        },
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": Api(
        "application-autoscaling", "put_scaling_policy", "PolicyARN", {"Arn": "PolicyARN"},
        prepare=_of_target, after=_remember_target, update="put_scaling_policy", tags="",
        delete="delete_scaling_policy",
        delete_by={
            "PolicyName": "=PolicyName", "ServiceNamespace": "=ServiceNamespace",
            "ResourceId": "=ResourceId", "ScalableDimension": "=ScalableDimension",
        },
    ),
}  # fmt: skip
