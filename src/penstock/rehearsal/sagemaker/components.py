"""Inference components: bases with copies, and adapters that ride on them."""

import math
from typing import Any

from penstock.catalog import catalogue
from penstock.rehearsal.cloud import Cloud, now
from penstock.rehearsal.copies import Copies
from penstock.rehearsal.refusals import invalid
from penstock.rehearsal.sagemaker.baking import bake
from penstock.rehearsal.sagemaker.launching import (
    NO_CAPACITY,
    PROVISION_S,
    Launcher,
    LaunchFailed,
    Place,
)
from penstock.rehearsal.sagemaker.models import tag
from penstock.rehearsal.sagemaker.records import Component, Endpoint, Estate, Variant

ADAPTER_S, DELETE_S = 30.0, 30.0
MEMORY_FOR_THE_AGENT_MB = 2048
BUSY = {"Creating": "CREATE_IN_PROGRESS", "Updating": "UPDATE_RC_IN_PROGRESS"}
"""States in which SageMaker deletes no component, and what it calls them then."""
Parameters = dict[str, Any]


class Components:
    """The operations on inference components."""

    def __init__(self, cloud: Cloud, estate: Estate, launcher: Launcher) -> None:
        self._cloud, self._estate, self._launcher = cloud, estate, launcher
        self._instances = catalogue.load().instances

    def create_inference_component(self, given: Parameters) -> Parameters:
        """Begin to create a base or an adapter."""
        name = given["InferenceComponentName"]
        arn = self._cloud.arn("sagemaker", f"inference-component/{name}")
        if name in self._estate.components:
            raise invalid(f'Cannot create already existing inference component "{arn}".')
        endpoint = self._estate.endpoints.get(given["EndpointName"])
        if endpoint is None:
            where = self._cloud.arn("sagemaker", f"endpoint/{given['EndpointName']}")
            raise invalid(f'Could not find endpoint "{where}".')
        if endpoint.status != "InService":
            raise invalid(f'Endpoint "{endpoint.arn}" is not InService: {endpoint.status}.')
        base = self._check(given, endpoint)
        component = Component(
            name, arn, given, endpoint.name, endpoint.arn,
            variant=base.variant if base else given["VariantName"],
            copies=None if base else Copies(self._cloud.folder / "engines" / name),
            wanted=0 if base else given["RuntimeConfig"]["CopyCount"],
        )  # fmt: skip
        self._estate.components[name] = component
        tag(self._estate, arn, given.get("Tags", ()))
        work = (
            (lambda: self._load(component, base))
            if base
            else (lambda: self._start(component, {}, {}))
        )
        self._cloud.in_background(work, f"create {name}")
        return {"InferenceComponentArn": arn}

    def update_inference_component(self, given: Parameters) -> Parameters:
        """Begin to change a component's specification or its number of copies."""
        component = self._steady(given["InferenceComponentName"])
        before = component.spec
        if "Specification" in given:
            wish = {**component.spec, "Specification": given["Specification"]}
            self._check(wish, self._estate.endpoints[component.endpoint])
            component.spec = wish
        if "RuntimeConfig" in given:
            self._refuse_copies_of_an_adapter(component)
            component.wanted = given["RuntimeConfig"]["CopyCount"]
        component.status, component.modified = "Updating", now()
        base = self._estate.components.get(component.base)
        renew = "Specification" in given
        deployment = given.get("DeploymentConfig", {}) if renew else {}
        work = (
            (lambda: self._load(component, base))
            if base
            else (lambda: self._start(component, deployment, before if renew else None))
        )
        self._cloud.in_background(work, f"update {component.name}")
        return {"InferenceComponentArn": component.arn}

    def update_inference_component_runtime_config(self, given: Parameters) -> Parameters:
        """Begin to change how many copies a base has."""
        component = self._steady(given["InferenceComponentName"])
        self._refuse_copies_of_an_adapter(component)
        component.wanted = given["DesiredRuntimeConfig"]["CopyCount"]
        component.status, component.modified = "Updating", now()
        self._cloud.in_background(lambda: self._start(component), f"scale {component.name}")
        return {"InferenceComponentArn": component.arn}

    def delete_inference_component(self, given: Parameters) -> Parameters:
        """Begin to delete a component; a base must have lost its adapters before."""
        component = self.component(given["InferenceComponentName"])
        if component.status in BUSY:
            raise invalid(
                f'Cannot delete inference component "{component.arn}" while it is in state '
                f"{BUSY[component.status]}."
            )
        riders = [
            each.name
            for each in list(self._estate.components.values())
            if each.base == component.name
        ]
        if riders:
            raise invalid(
                f'Cannot delete inference component "{component.arn}": the inference components '
                f"{', '.join(sorted(riders))} depend on it."
            )
        component.status = "Deleting"
        self._cloud.in_background(lambda: self._remove(component), f"delete {component.name}")
        return {}

    def describe_inference_component(self, given: Parameters) -> Parameters:
        """Return a component as it is now."""
        component = self.component(given["InferenceComponentName"])
        answer: Parameters = {
            "InferenceComponentName": component.name,
            "InferenceComponentArn": component.arn,
            "EndpointName": component.endpoint,
            "EndpointArn": component.endpoint_arn,
            "VariantName": component.variant,
            "Specification": self._specification(component),
            "CreationTime": component.created,
            "LastModifiedTime": component.modified,
            "InferenceComponentStatus": component.status,
        }
        if component.failure:
            answer["FailureReason"] = component.failure
        if component.copies is not None:
            answer["RuntimeConfig"] = {
                "DesiredCopyCount": component.wanted,
                "CurrentCopyCount": len(component.copies),
            }
        return answer

    def list_inference_components(self, given: Parameters) -> Parameters:
        """Return the components, of one endpoint or of all."""
        return {
            "InferenceComponents": [
                {
                    "InferenceComponentName": each.name,
                    "InferenceComponentArn": each.arn,
                    "EndpointName": each.endpoint,
                    "EndpointArn": each.endpoint_arn,
                    "VariantName": each.variant,
                    "CreationTime": each.created,
                    "LastModifiedTime": each.modified,
                    "InferenceComponentStatus": each.status,
                }
                for each in list(self._estate.components.values())
                if given.get("EndpointNameEquals", each.endpoint) == each.endpoint
                and given.get("NameContains", "") in each.name
                and given.get("StatusEquals", each.status) == each.status
            ]
        }

    def component(self, name: str) -> Component:
        """Return the component; raises ValidationException where there is none."""
        if name not in self._estate.components:
            arn = self._cloud.arn("sagemaker", f"inference-component/{name}")
            raise invalid(f'Could not find inference component "{arn}".')
        return self._estate.components[name]

    def _steady(self, name: str) -> Component:
        component = self.component(name)
        if component.status not in {"InService", "Failed"}:
            raise invalid(f'Cannot update in-progress inference component "{component.arn}".')
        return component

    def _check(self, given: Parameters, endpoint: Endpoint) -> Component | None:
        specification = given.get("Specification")
        if not specification:
            raise invalid("Specification must be given")
        if name := specification.get("BaseInferenceComponentName"):
            return self._check_adapter(given, specification, name)
        if "VariantName" not in given or given["VariantName"] not in endpoint.variants:
            raise invalid(f"Could not find variant {given.get('VariantName')} of the endpoint")
        if "RuntimeConfig" not in given:
            raise invalid("RuntimeConfig is required for an inference component with a model")
        if not specification.get("ModelName") and not specification.get("Container"):
            raise invalid("Specification must have a ModelName or a Container")
        if (model := specification.get("ModelName")) and model not in self._estate.models:
            raise invalid(f"Could not find model {model}")
        self._check_fit(specification, endpoint.variants[given["VariantName"]])
        return None

    def _check_adapter(self, given: Parameters, specification: Parameters, base: str) -> Component:
        if base not in self._estate.components:
            raise invalid(f'Could not find inference component "{base}".')
        if self._estate.components[base].status not in {"InService", "Updating"}:
            raise invalid(f'Base inference component "{base}" is not InService.')
        if "ComputeResourceRequirements" in specification or "RuntimeConfig" in given:
            raise invalid(
                "An adapter inference component takes neither ComputeResourceRequirements nor "
                "RuntimeConfig"
            )
        if not specification.get("Container", {}).get("ArtifactUrl"):
            raise invalid("An adapter inference component needs Container.ArtifactUrl")
        return self._estate.components[base]

    def _check_fit(self, specification: Parameters, variant: Variant) -> None:
        needs = specification.get("ComputeResourceRequirements")
        if not needs:
            raise invalid("ComputeResourceRequirements is required for a base")
        instance = self._instances.get(variant.spec.get("InstanceType", "").removeprefix("ml."))
        if instance is None:
            return
        gpus = needs.get("NumberOfAcceleratorDevicesRequired", 0)
        memory = needs["MinMemoryRequiredInMb"]
        if gpus > instance.gpus or memory > instance.ram_gib * 1024 - MEMORY_FOR_THE_AGENT_MB:
            raise invalid(
                f"The requested resources ({gpus:g} accelerators, {memory} MB) do not fit "
                f"an {variant.spec['InstanceType']}"
            )

    def _refuse_copies_of_an_adapter(self, component: Component) -> None:
        if component.base:
            raise invalid("An adapter inference component has no RuntimeConfig")

    def _start(
        self,
        component: Component,
        deployment: Parameters | None = None,
        back: Parameters | None = None,
    ) -> None:
        """Bring a base to what it should be, and `back` where a roll-out fails or an alarm is on.

        `back` is the specification before a roll-out; without one, nothing is rolled.
        """
        failure = ""
        try:
            try:
                self._bring(component, anew=bool(back))
                bake(self._cloud, deployment or {})
            except LaunchFailed as failed:
                if not (back and deployment):
                    raise
                failure, component.spec = str(failed), back
                self._bring(component, anew=True)
        except LaunchFailed as failed:
            component.failure, component.status = str(failed), "Failed"
        else:
            component.failure, component.status = failure, "InService"
            self._make_room(component)
        component.modified = now()

    def _container(self, component: Component) -> Parameters:
        specification = component.spec["Specification"]
        if name := specification.get("ModelName"):
            return self._estate.models[name].container
        return dict(specification["Container"])

    def _bring(self, component: Component, *, anew: bool) -> None:
        """Start or end copies; raises LaunchFailed."""
        assert component.copies is not None  # noqa: S101  only bases come here
        place = Place(
            name=component.name,
            what=f"container for inference component {component.name}",
            group=f"/aws/sagemaker/InferenceComponents/{component.name}",
            stream=component.variant,
            container=self._container(component),
        )
        grows = component.wanted > len(component.copies)
        self._make_room(component)
        if anew:
            component.copies.stop()
        if grows or anew:
            self._launcher.launch(place, component.copies, component.wanted)
        else:
            component.copies.resize(component.wanted)

    def _make_room(self, component: Component) -> None:
        """Let managed instance scaling have as many instances as the copies need."""
        endpoint = self._estate.endpoints.get(component.endpoint)
        variant = endpoint.variants.get(component.variant) if endpoint else None
        scaling = variant.spec.get("ManagedInstanceScaling", {}) if variant else {}
        if variant is None or scaling.get("Status") != "ENABLED":
            return
        needed = max(self._instances_for(variant, component), scaling.get("MinInstanceCount", 0))
        if needed > scaling.get("MaxInstanceCount", math.inf):
            raise LaunchFailed(
                f"{needed} instances are needed, MaxInstanceCount is {scaling['MaxInstanceCount']}"
            )
        if needed > variant.instances:
            self._cloud.clock.sleep(PROVISION_S)
            if self._cloud.faults.take("capacity", name=component.name):
                raise LaunchFailed(NO_CAPACITY)
        variant.instances = variant.wanted = needed

    def _instances_for(self, variant: Variant, asking: Component) -> int:
        instance = self._instances.get(variant.spec.get("InstanceType", "").removeprefix("ml."))
        devices = 0.0
        for each in list(self._estate.components.values()):
            if each.base or (each.endpoint, each.variant) != (asking.endpoint, asking.variant):
                continue
            needs = each.spec["Specification"].get("ComputeResourceRequirements", {})
            share = needs.get("NumberOfAcceleratorDevicesRequired", 1) or 1
            if each.status != "Deleting":
                devices += each.wanted * share
        return math.ceil(devices / max(instance.gpus if instance else 1, 1))

    def _load(self, component: Component, base: Component) -> None:
        url = component.spec["Specification"]["Container"]["ArtifactUrl"]
        folder = (
            self._cloud.folder / "adapters" / component.name / str(component.modified.timestamp())
        )
        try:
            self._cloud.clock.sleep(ADAPTER_S)
            self._launcher.fetch(url, folder)
            if not (folder / "adapter_config.json").is_file():
                raise LaunchFailed(f"{url} has no adapter_config.json at its root")
            assert base.copies is not None  # noqa: S101  adapters ride on bases
            if why := base.copies.add_adapter(component.name, folder):
                raise LaunchFailed(f"The adapter could not be loaded: {why}")
        except LaunchFailed as failed:
            component.failure, component.status = str(failed), "Failed"
        else:
            component.status, component.failure = "InService", ""
        component.modified = now()

    def _remove(self, component: Component) -> None:
        if component.copies is not None:
            component.copies.stop()
        elif (base := self._estate.components.get(component.base)) and base.copies is not None:
            base.copies.drop_adapter(component.name)
        self._cloud.clock.sleep(DELETE_S)
        self._estate.components.pop(component.name, None)
        self._estate.tags.pop(component.arn, None)
        self._make_room(component)

    def _specification(self, component: Component) -> Parameters:
        specification = dict(component.spec["Specification"])
        if container := specification.get("Container"):
            container = dict(container)
            if image := container.pop("Image", None):
                container["DeployedImage"] = {"SpecifiedImage": image, "ResolvedImage": image}
            specification["Container"] = container
        return specification
