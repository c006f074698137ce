"""Endpoints: created, updated blue/green, deleted, with engines that really run behind them."""

from typing import Any

from penstock.rehearsal.cloud import Cloud, now
from penstock.rehearsal.copies import Copies
from penstock.rehearsal.faults import refuse_quota
from penstock.rehearsal.refusals import invalid
from penstock.rehearsal.sagemaker.baking import bake
from penstock.rehearsal.sagemaker.launching import Launcher, LaunchFailed, Place
from penstock.rehearsal.sagemaker.models import tag
from penstock.rehearsal.sagemaker.quotas import Quotas
from penstock.rehearsal.sagemaker.records import (
    Endpoint,
    EndpointConfig,
    Estate,
    Model,
    Variant,
)

DELETE_S, RESIZE_S = 30.0, 60.0
Parameters = dict[str, Any]


class Endpoints:
    """The operations on endpoints."""

    def __init__(self, cloud: Cloud, estate: Estate, launcher: Launcher, quotas: Quotas) -> None:
        self._cloud, self._estate, self._launcher = cloud, estate, launcher
        self._quotas = quotas

    def create_endpoint(self, given: Parameters) -> Parameters:
        """Begin to create an endpoint; it is `InService` or `Failed` later."""
        name = given["EndpointName"]
        arn = self._cloud.arn("sagemaker", f"endpoint/{name}")
        if name in self._estate.endpoints:
            raise invalid(f'Cannot create already existing endpoint "{arn}".')
        config = self._config(given["EndpointConfigName"])
        self._check_quota(name, config)
        endpoint = Endpoint(name, arn, config.name, deployment=given.get("DeploymentConfig", {}))
        self._estate.endpoints[name] = endpoint
        tag(self._estate, arn, given.get("Tags", ()))
        self._cloud.in_background(lambda: self._bring_up(endpoint, config), f"create {name}")
        return {"EndpointArn": arn}

    def update_endpoint(self, given: Parameters) -> Parameters:
        """Begin to move an endpoint to another configuration."""
        endpoint = self.endpoint(given["EndpointName"])
        config = self._config(given["EndpointConfigName"])
        if endpoint.status not in {"InService", "Failed"}:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        if endpoint.status == "Failed" and not endpoint.variants:
            raise invalid(f'Cannot update endpoint "{endpoint.arn}" in status Failed.')
        self._check_quota(endpoint.name, config)
        endpoint.status, endpoint.modified, endpoint.failure = "Updating", now(), ""
        endpoint.deployment = given.get("DeploymentConfig", {})
        retain = bool(given.get("RetainAllVariantProperties"))
        self._cloud.in_background(lambda: self._exchange(endpoint, config, retain), "update")
        return {"EndpointArn": endpoint.arn}

    def update_endpoint_weights_and_capacities(self, given: Parameters) -> Parameters:
        """Begin to change how many instances variants have."""
        endpoint = self.endpoint(given["EndpointName"])
        if endpoint.status != "InService":
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        for wish in given["DesiredWeightsAndCapacities"]:
            if wish["VariantName"] not in endpoint.variants:
                raise invalid(f"Could not find variant {wish['VariantName']}")
        endpoint.status, endpoint.modified = "Updating", now()
        wishes = {
            wish["VariantName"]: wish["DesiredInstanceCount"]
            for wish in given["DesiredWeightsAndCapacities"]
            if "DesiredInstanceCount" in wish
        }
        self._cloud.in_background(lambda: self._resize(endpoint, wishes), "resize")
        return {"EndpointArn": endpoint.arn}

    def delete_endpoint(self, given: Parameters) -> Parameters:
        """Begin to delete an endpoint; its inference components are left."""
        endpoint = self.endpoint(given["EndpointName"])
        if endpoint.status in {"Updating", "RollingBack"}:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        endpoint.status = "Deleting"
        self._cloud.in_background(lambda: self._take_down(endpoint), "delete")
        return {}

    def describe_endpoint(self, given: Parameters) -> Parameters:
        """Return an endpoint as it is now."""
        endpoint = self.endpoint(given["EndpointName"])
        answer: Parameters = {
            "EndpointName": endpoint.name,
            "EndpointArn": endpoint.arn,
            "EndpointConfigName": endpoint.config,
            "EndpointStatus": endpoint.status,
            "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.modified,
            "ProductionVariants": [_describe(each) for each in endpoint.variants.values()],
        }
        if endpoint.failure:
            answer["FailureReason"] = endpoint.failure
        if endpoint.deployment:
            answer["LastDeploymentConfig"] = endpoint.deployment
        config = self._estate.configs.get(endpoint.config)
        if config and "AsyncInferenceConfig" in config.spec:
            answer["AsyncInferenceConfig"] = config.spec["AsyncInferenceConfig"]
        return answer

    def list_endpoints(self, given: Parameters) -> Parameters:
        """Return the endpoints whose name contains what is asked for."""
        return {
            "Endpoints": [
                {
                    "EndpointName": each.name,
                    "EndpointArn": each.arn,
                    "CreationTime": each.created,
                    "LastModifiedTime": each.modified,
                    "EndpointStatus": each.status,
                }
                for each in list(self._estate.endpoints.values())
                if given.get("NameContains", "") in each.name
                and given.get("StatusEquals", each.status) == each.status
            ]
        }

    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint; raises ValidationException where there is none."""
        if name not in self._estate.endpoints:
            arn = self._cloud.arn("sagemaker", f"endpoint/{name}")
            raise invalid(f'Could not find endpoint "{arn}".')
        return self._estate.endpoints[name]

    def _config(self, name: str) -> EndpointConfig:
        if name not in self._estate.configs:
            arn = self._cloud.arn("sagemaker", f"endpoint-config/{name}")
            raise invalid(f'Could not find endpoint configuration "{arn}".')
        return self._estate.configs[name]

    def _check_quota(self, name: str, config: EndpointConfig) -> None:
        if self._cloud.faults.take("quota", name=name):
            variant = config.variants[0]
            raise refuse_quota(
                variant.get("InstanceType", "?"), variant.get("InitialInstanceCount", 1)
            )
        for each in config.variants:
            if kind := each.get("InstanceType"):
                self._quotas.check(kind, int(each.get("InitialInstanceCount", 1)), name)

    def _bring_up(self, endpoint: Endpoint, config: EndpointConfig) -> None:
        variants: dict[str, Variant] = {}
        try:
            self._launch(endpoint, config, variants, {})
        except LaunchFailed as failed:
            _stop(variants)
            endpoint.status, endpoint.failure = "Failed", str(failed)
        else:
            endpoint.variants, endpoint.status = variants, "InService"
        endpoint.modified = now()
        if self._estate.endpoints.get(endpoint.name) is not endpoint:
            _stop(variants)  # deleted meanwhile

    def _exchange(self, endpoint: Endpoint, config: EndpointConfig, retain: bool) -> None:
        if config.name == endpoint.config:  # it has gone back by itself already
            endpoint.status, endpoint.modified = "InService", now()
            return
        new: dict[str, Variant] = {}
        kept = {each.name: each.wanted for each in endpoint.variants.values() if retain}
        try:
            self._launch(endpoint, config, new, kept)
            bake(self._cloud, endpoint.deployment)
        except LaunchFailed as failed:
            _stop(new)
            endpoint.failure = str(failed)  # the old fleet goes on
        else:
            old, endpoint.variants, endpoint.config = endpoint.variants, new, config.name
            _stop(old)
        endpoint.status, endpoint.modified = "InService", now()

    def _launch(
        self,
        endpoint: Endpoint,
        config: EndpointConfig,
        into: dict[str, Variant],
        counts: dict[str, int],
    ) -> None:
        self._launcher.provision(endpoint.name)
        for spec in config.variants:
            name = spec["VariantName"]
            count = counts[name] if name in counts else int(spec.get("InitialInstanceCount", 1))
            folder = self._cloud.folder / "engines" / endpoint.name / config.name / name
            copies = Copies(folder)
            into[name] = Variant(name, spec, count, copies, count)
            if spec.get("ModelName"):
                model = self._estate.models[spec["ModelName"]]
                self._launcher.launch(_place(endpoint, name, model), copies, count)

    def _resize(self, endpoint: Endpoint, wishes: dict[str, int]) -> None:
        self._cloud.clock.sleep(RESIZE_S)
        for name, count in wishes.items():
            variant = endpoint.variants[name]
            variant.wanted = count
            if count > variant.instances and self._cloud.faults.take("capacity"):
                endpoint.failure = "InsufficientInstanceCapacity"
                continue
            place = _place(endpoint, name)
            served = variant.spec.get("ModelName")
            if served and not self._launcher.resize(place, variant.copies, count):
                continue
            variant.instances = count
        endpoint.status, endpoint.modified = "InService", now()

    def _take_down(self, endpoint: Endpoint) -> None:
        _stop(endpoint.variants)
        self._cloud.clock.sleep(DELETE_S)
        self._estate.endpoints.pop(endpoint.name, None)
        self._estate.tags.pop(endpoint.arn, None)


def _place(endpoint: Endpoint, variant: str, model: Model | None = None) -> Place:
    return Place(
        name=endpoint.name,
        what=f"primary container for production variant {variant}",
        group=f"/aws/sagemaker/Endpoints/{endpoint.name}",
        stream=variant,
        container=model.container if model else {},
    )


def _describe(variant: Variant) -> Parameters:
    spec = variant.spec
    answer: Parameters = {
        "VariantName": variant.name,
        "CurrentWeight": spec.get("InitialVariantWeight", 1.0),
        "DesiredWeight": spec.get("InitialVariantWeight", 1.0),
    }
    if "ServerlessConfig" in spec:
        serverless = spec["ServerlessConfig"]
        return {**answer, "CurrentServerlessConfig": serverless}
    answer |= {
        "CurrentInstanceCount": variant.instances,
        "DesiredInstanceCount": variant.wanted,
    }
    for name in ("ManagedInstanceScaling", "RoutingConfig"):
        if name in spec:
            answer[name] = spec[name]
    return answer


def _stop(variants: dict[str, Variant]) -> None:
    for variant in variants.values():
        variant.copies.stop()
