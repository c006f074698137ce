"""SageMaker: what takes its time is waited for."""

from typing import Any

from penstock.rehearsal.cloudformation.kinds import Api, ResourceFailed, Scene
from penstock.rehearsal.cloudformation.records import Made

POLL_S = 3.0
READY, ENDED = {"InService"}, {"Failed", "UpdateRollbackFailed"}


def _wait(scene: Scene, describe: Any, status: str, made: Made) -> None:
    while True:
        answer = describe()
        if answer[status] in READY:
            if why := answer.get("FailureReason"):
                raise ResourceFailed(why, made)  # an update that was rolled back
            return
        if answer[status] in ENDED:
            raise ResourceFailed(answer.get("FailureReason", answer[status]), made)
        scene.cloud.clock.sleep(POLL_S)


def _wait_gone(scene: Scene, describe: Any) -> None:
    client = scene.client("sagemaker")
    while True:
        try:
            describe()
        except client.exceptions.ClientError:
            return
        scene.cloud.clock.sleep(POLL_S)


def _endpoint_up(scene: Scene, made: Made) -> None:
    client, name = scene.client("sagemaker"), made.attributes["EndpointName"]
    _wait(scene, lambda: client.describe_endpoint(EndpointName=name), "EndpointStatus", made)


def _endpoint_gone(scene: Scene, made: Made) -> None:
    client, name = scene.client("sagemaker"), made.attributes["EndpointName"]
    _wait_gone(scene, lambda: client.describe_endpoint(EndpointName=name))


def _component_up(scene: Scene, made: Made) -> None:
    client, name = scene.client("sagemaker"), made.attributes["InferenceComponentName"]
    _wait(
        scene,
        lambda: client.describe_inference_component(InferenceComponentName=name),
        "InferenceComponentStatus",
        made,
    )


def _component_gone(scene: Scene, made: Made) -> None:
    client, name = scene.client("sagemaker"), made.attributes["InferenceComponentName"]
    _wait_gone(scene, lambda: client.describe_inference_component(InferenceComponentName=name))


KINDS = {
    "AWS::SageMaker::Model": Api(
        "sagemaker", "create_model", "ModelArn",
        attributes={"ModelArn": "ModelArn"},
        delete="delete_model", delete_by={"ModelName": "=ModelName"},
        name="ModelName",
    ),
    "AWS::SageMaker::EndpointConfig": Api(
        "sagemaker", "create_endpoint_config", "EndpointConfigArn",
        attributes={"EndpointConfigArn": "EndpointConfigArn"},
        delete="delete_endpoint_config",
        delete_by={"EndpointConfigName": "=EndpointConfigName"},
        name="EndpointConfigName",
    ),
    "AWS::SageMaker::Endpoint": Api(
        "sagemaker", "create_endpoint", "EndpointArn",
        attributes={"EndpointArn": "EndpointArn"},
        update="update_endpoint",
        delete="delete_endpoint", delete_by={"EndpointName": "=EndpointName"},
        later=frozenset({"RetainAllVariantProperties", "ExcludeRetainedVariantProperties"}),
        name="EndpointName", after=_endpoint_up, gone=_endpoint_gone,
    ),
    "AWS::SageMaker::InferenceComponent": Api(
        "sagemaker", "create_inference_component", "InferenceComponentArn",
        attributes={"InferenceComponentArn": "InferenceComponentArn"},
        update="update_inference_component",
        delete="delete_inference_component",
        delete_by={"InferenceComponentName": "=InferenceComponentName"},
        name="InferenceComponentName", apart=frozenset({"EndpointArn"}),
        later=frozenset({"DeploymentConfig"}),
        after=_component_up, gone=_component_gone,
    ),
}  # fmt: skip
