"""An endpoint as SageMaker tells of it: its state, its components, why it failed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from penstock.engines.sagemaker.control import SERVING
from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors, message_of


@dataclass(frozen=True, slots=True)
class Component:
    """An inference component; an adapter has a `base` and no copies of its own."""

    name: str
    status: str
    failure: str
    copies: int
    wanted_copies: int
    base: str
    arn: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A production variant: machines that run and that are wanted; serverless ones have none."""

    name: str
    machines: int
    wanted_machines: int
    machine: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as it is."""

    name: str
    status: str
    failure: str
    variants: tuple[Variant, ...]
    components: tuple[Component, ...]
    config: str

    @property
    def serves(self) -> bool:
        """Whether it and all its components answer, also while they are changed or scaled."""
        return {self.status, *(each.status for each in self.components)} <= SERVING

    @property
    def is_settled(self) -> bool:
        """Whether nothing is under way with it or its components."""
        states = {self.status, *(each.status for each in self.components)}
        return states <= {"InService", "Failed", "OutOfService", "UpdateRollbackFailed"}


class Hosting:
    """Endpoints and components of an account."""

    def __init__(self, account: Account) -> None:
        self._client: Any = account.client("sagemaker")

    def find(self, name: str) -> Endpoint | None:
        """The endpoint called `name`; none where there is none."""
        with aws_errors("SageMaker"):
            try:
                told = self._client.describe_endpoint(EndpointName=name)
            except ClientError as error:
                if "Could not find" in message_of(error):
                    return None
                raise
        config = told.get("EndpointConfigName", "")
        machines = self._machines(config)
        return Endpoint(
            name,
            told["EndpointStatus"],
            told.get("FailureReason", ""),
            tuple(
                Variant(
                    each["VariantName"],
                    each.get("CurrentInstanceCount", 0),
                    each.get("DesiredInstanceCount", 0),
                    machines.get(each["VariantName"], ""),
                )
                for each in told.get("ProductionVariants", ())
            ),
            tuple(self.components(name)),
            config,
        )

    def components(self, endpoint: str) -> Iterator[Component]:
        """The inference components on an endpoint."""
        with aws_errors("SageMaker"):
            pages = self._client.get_paginator("list_inference_components").paginate(
                EndpointNameEquals=endpoint
            )
            for page in pages:
                for each in page["InferenceComponents"]:
                    found = self._component(each["InferenceComponentName"])
                    if found is not None:
                        yield found

    def failure(self, name: str, *, is_component: bool) -> str:
        """Why an endpoint or a component failed, as SageMaker says; "" where it says nothing."""
        with aws_errors("SageMaker"):
            try:
                if is_component:
                    told = self._client.describe_inference_component(InferenceComponentName=name)
                else:
                    told = self._client.describe_endpoint(EndpointName=name)
            except ClientError as error:
                if "Could not find" in message_of(error):
                    return ""
                raise
        return str(told.get("FailureReason", ""))

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of something, by its ARN; none where it is gone."""
        with aws_errors("SageMaker"):
            pages = self._client.get_paginator("list_tags").paginate(ResourceArn=arn)
            try:
                return {each["Key"]: each["Value"] for page in pages for each in page["Tags"]}
            except ClientError as error:
                if "Could not find" not in message_of(error):
                    raise
                return {}

    def delete_component(self, name: str) -> bool:
        """Begin to delete a component; one that is gone already is well.

        False where it has just begun to be scaled: then it has to be told again.
        """
        with aws_errors("SageMaker"):
            try:
                self._client.delete_inference_component(InferenceComponentName=name)
            except ClientError as error:
                if "while it is in state" in message_of(error):
                    return False
                if "Could not find" not in message_of(error):
                    raise
        return True

    def _component(self, name: str) -> Component | None:
        try:
            told = self._client.describe_inference_component(InferenceComponentName=name)
        except ClientError as error:
            if "Could not find" in message_of(error):
                return None
            raise
        runtime = told.get("RuntimeConfig", {})
        return Component(
            name,
            told["InferenceComponentStatus"],
            told.get("FailureReason", ""),
            runtime.get("CurrentCopyCount", 0),
            runtime.get("DesiredCopyCount", 0),
            told.get("Specification", {}).get("BaseInferenceComponentName", ""),
            told["InferenceComponentArn"],
        )

    def _machines(self, config: str) -> dict[str, str]:
        """Instance type of each variant of an endpoint configuration."""
        with aws_errors("SageMaker"):
            try:
                told = self._client.describe_endpoint_config(EndpointConfigName=config)
            except ClientError as error:
                if "Could not find" in message_of(error):
                    return {}
                raise
        return {
            each["VariantName"]: each.get("InstanceType", "")
            for each in told["ProductionVariants"]
        }
