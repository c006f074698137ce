"""A front before an endpoint of SageMaker: what its gateway may ask there."""

from troposphere import Sub

from penstock.targets.aws.roles import Statement, allow
from penstock.targets.front.scene import Scene
from penstock.targets.sagemaker.deployment import Deployment

_ENDPOINT = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:"


def scene_of(deployment: Deployment, key: object | None) -> Scene | None:
    """The scene of a front, with the KMS key as the stack knows it; none without a front."""
    if deployment.gateway is None:
        return None
    return Scene(
        manifest=deployment.manifest,
        stack=deployment.stack,
        files=deployment.gateway,
        engines=_may_ask(deployment),
        key=key,
    )


def _may_ask(deployment: Deployment) -> tuple[Statement, ...]:
    """Invoke this endpoint and no other; a bearer token has no resource of its own."""
    places = [Sub(f"{_ENDPOINT}endpoint/{deployment.stack}")]
    if deployment.mode == "components":
        places.append(Sub(f"{_ENDPOINT}inference-component/{deployment.stack}-*"))
    invoked = ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"]
    seen = ["sagemaker:DescribeEndpoint"]
    if deployment.mode == "components":
        seen.append("sagemaker:DescribeInferenceComponent")
        if deployment.manifest.scale.wake.by == "copies":
            seen.append("sagemaker:UpdateInferenceComponentRuntimeConfig")
    return (
        allow([*invoked, *seen], places),
        allow(["sagemaker:CallWithBearerToken"], ["*"]),
    )
