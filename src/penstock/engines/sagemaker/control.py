"""SageMaker's control plane, as far as a gateway needs it: asking for a copy."""

from typing import Any, NamedTuple, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from penstock.ground.errors import CloudError

SERVING = frozenset(("InService", "Updating", "SystemUpdating", "RollingBack"))
"""How endpoints and components are called that answer: while they are changed or scaled, too."""
_PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2})


class Client(Protocol):
    """What is used of boto3's client."""

    def describe_endpoint(self, **asked: str) -> Any:
        """Return what is known of an endpoint."""

    def describe_inference_component(self, **asked: str) -> Any:
        """Return what is known of a component."""

    def update_inference_component_runtime_config(self, **asked: Any) -> Any:
        """Change how many copies a component shall have."""


def control_plane(region: str) -> Client:
    """Return a client for SageMaker in `region`."""
    return boto3.session.Session().client(  # type: ignore[no-any-return]
        "sagemaker", region_name=region, config=_PATIENCE
    )


class State(NamedTuple):
    """Whether an endpoint, and a component on it, can be asked; `told` is what SageMaker says."""

    serves: bool
    told: str


def state_of(client: Client, endpoint: str, component: str | None) -> State:
    """Return how an endpoint is, or the component that is meant.

    Raises:
        CloudError: AWS refused to tell, or cannot be reached.
    """
    try:
        found = client.describe_endpoint(EndpointName=endpoint)
        status = found["EndpointStatus"]
        if status in SERVING and component is not None:
            found = client.describe_inference_component(InferenceComponentName=component)
            status = found["InferenceComponentStatus"]
            endpoint = component
    except ClientError as error:
        said = error.response.get("Error", {})
        if "Could not find" in said.get("Message", ""):
            return State(False, said["Message"])
        raise CloudError(f"{endpoint} cannot be looked at", why=str(error)) from error
    except BotoCoreError as error:
        raise CloudError(f"{endpoint} cannot be looked at", why=str(error)) from error
    why = found.get("FailureReason", "")
    return State(status in SERVING, f"{endpoint} is {status}{': ' if why else ''}{why}")


def ask_for_a_copy(client: Client, component: str) -> bool:
    """See to it that a component, or the one that an adapter leans on, gets a first copy.

    Returns whether one had to be asked for: another gateway, or an alarm, may have been faster.

    Raises:
        CloudError: AWS refused, or cannot be reached.
    """
    try:
        found = client.describe_inference_component(InferenceComponentName=component)
        base = found.get("Specification", {}).get("BaseInferenceComponentName")
        if base:
            component = base
            found = client.describe_inference_component(InferenceComponentName=base)
        if found.get("RuntimeConfig", {}).get("DesiredCopyCount", 0) > 0:
            return False
        client.update_inference_component_runtime_config(
            InferenceComponentName=component, DesiredRuntimeConfig={"CopyCount": 1}
        )
    except (BotoCoreError, ClientError) as error:
        raise CloudError(
            f"no copy of {component} can be asked for",
            why=str(error),
            fix="Allow sagemaker:DescribeInferenceComponent and "
            "sagemaker:UpdateInferenceComponentRuntimeConfig, or leave it to the alarm.",
        ) from error
    return True
