"""A deployment with another number of machines, as a template: for its price."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any


def most_machines(template: Mapping[str, object]) -> dict[str, Any]:
    """The template with as many machines to begin with as scaling may ever start."""
    grown: dict[str, Any] = copy.deepcopy(dict(template))
    resources = grown.get("Resources", {})
    bounds = dict(_bounds(resources))
    for each in resources.values():
        if each["Type"] == "AWS::SageMaker::EndpointConfig":
            for variant in each["Properties"]["ProductionVariants"]:
                managed = variant.get("ManagedInstanceScaling", {}).get("MaxInstanceCount")
                most = managed or bounds.get("sagemaker:variant:DesiredInstanceCount")
                if most and "InitialInstanceCount" in variant:
                    variant["InitialInstanceCount"] = most
        if each["Type"] == "AWS::ECS::Service" and (
            most := bounds.get("ecs:service:DesiredCount")
        ):
            each["Properties"]["DesiredCount"] = most
    return grown


def with_machines(template: Mapping[str, object], counts: Mapping[str, int]) -> dict[str, Any]:
    """The template with as many machines to begin with as `counts` says, by variant."""
    other: dict[str, Any] = copy.deepcopy(dict(template))
    for each in other.get("Resources", {}).values():
        if each["Type"] == "AWS::SageMaker::EndpointConfig":
            for variant in each["Properties"]["ProductionVariants"]:
                if "InitialInstanceCount" in variant:
                    variant["InitialInstanceCount"] = counts.get(variant["VariantName"], 0)
    return other


def _bounds(resources: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for each in resources.values():
        if each["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget":
            yield each["Properties"]["ScalableDimension"], each["Properties"]["MaxCapacity"]
