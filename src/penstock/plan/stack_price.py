"""What a CloudFormation template costs: what stands there all the time, and the rates of the rest.

The idea: a template names every part, so its price is a sum over its resources. What is billed by
the hour or the month adds up; what is billed by use (requests, gigabytes) is told as a rate, since
a template does not say how much is used. Where a count hides behind a function that only
CloudFormation can answer, one is assumed and the resource is named in `assumed`. Conditions are
taken as true. Prices of parts are those of us-east-1 wherever the stack is; machines have the
region's own price where the catalogue does.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.catalog.catalogue import HOME_REGION, Catalogue
from penstock.sizing.price import HOURS_PER_MONTH, Item

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rate:
    """Something that is paid by use: USD for each `unit`."""

    name: str
    usd: float
    unit: str
    checked: bool


@dataclass(frozen=True, slots=True)
class StackPrice:
    """The price of a template.

    `items` run all the time; `by_use` is paid for what is used; `assumed` names resources of which
    one is counted because the template alone does not tell; `unknown` those without a price.
    """

    items: tuple[Item, ...]
    by_use: tuple[Rate, ...] = ()
    assumed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def usd_per_hour(self) -> float:
        """USD an hour of what runs all the time."""
        return sum(item.usd_per_hour for item in self.items)

    @property
    def usd_per_month(self) -> float:
        """USD a month of 730 hours of what runs all the time."""
        return self.usd_per_hour * HOURS_PER_MONTH


def price_of(
    template: Mapping[str, Any],
    region: str,
    catalogue: Catalogue,
    parameters: Mapping[str, object] | None = None,
) -> StackPrice:
    """The price of a template (as `Template.to_dict()` gives it) in an AWS region.

    `parameters` are the values the stack gets; its own defaults fill in.
    """
    till = _Till(template, region, catalogue, dict(parameters or {}))
    for name, resource in template.get("Resources", {}).items():
        till.count(name, resource["Type"], resource.get("Properties", {}))
    return StackPrice(
        tuple(till.items), tuple(till.by_use.values()), tuple(till.assumed), tuple(till.unknown)
    )


def price_of_all(
    stacks: Iterable[tuple[Mapping[str, Any], Mapping[str, object]]],
    region: str,
    catalogue: Catalogue,
) -> StackPrice:
    """The price of several stacks together, each a template with its parameters."""
    prices = [price_of(template, region, catalogue, given) for template, given in stacks]
    return StackPrice(
        tuple(item for price in prices for item in price.items),
        tuple({rate.name: rate for price in prices for rate in price.by_use}.values()),
        tuple(name for price in prices for name in price.assumed),
        tuple(name for price in prices for name in price.unknown),
    )


_STANDING = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("load balancer", "alb"),
    "AWS::EC2::NatGateway": ("NAT gateway", "nat"),
    "AWS::EC2::EIP": ("public address", "public-ipv4"),
    "AWS::SecretsManager::Secret": ("secret", "secret"),
    "AWS::KMS::Key": ("KMS key", "kms-key"),
    "AWS::CloudWatch::Dashboard": ("dashboard", "dashboard"),
    "AWS::EKS::Cluster": ("EKS control plane", "eks-cluster"),
}
"""What one resource of a type costs as long as it stands: its name here, and its part."""

_BY_USE = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("alb-lcu",),
    "AWS::EC2::NatGateway": ("nat-data",),
    "AWS::ApiGateway::RestApi": ("api-gateway-rest",),
    "AWS::ApiGatewayV2::Api": ("api-gateway-http",),
    "AWS::Lambda::Function": ("lambda-requests", "lambda-compute"),
    "AWS::S3::Bucket": ("s3",),
    "AWS::Logs::LogGroup": ("logs",),
    "AWS::ECR::Repository": ("ecr",),
    "AWS::EFS::FileSystem": ("efs",),
    "AWS::WAFv2::WebACL": ("waf-requests",),
    "AWS::SageMaker::Endpoint": ("sagemaker-data",),
    "AWS::RDS::DBCluster": ("aurora-storage", "aurora-acu"),
    "AWS::ElastiCache::ServerlessCache": ("valkey-serverless-data", "valkey-serverless-ecpu"),
}
"""What else resources of a type are billed for, by use."""

_VALKEY_LEAST_GB = 0.1
"""ElastiCache bills a serverless Valkey for 100 MB at the least."""
_FAST_PERIOD_S = 60
"""An alarm that looks more often than this is of high resolution."""


class _Till:
    """Adds up one template."""

    def __init__(
        self,
        template: Mapping[str, Any],
        region: str,
        catalogue: Catalogue,
        given: dict[str, object],
    ) -> None:
        self._resources: Mapping[str, Any] = template.get("Resources", {})
        declared: Mapping[str, Any] = template.get("Parameters", {})
        defaults = {n: p["Default"] for n, p in declared.items() if "Default" in p}
        self._given: dict[str, object] = defaults | given
        self._region, self._catalogue = region, catalogue
        self.items: list[Item] = []
        self.by_use: dict[str, Rate] = {}
        self.assumed: list[str] = []
        self.unknown: list[str] = []

    def count(self, name: str, kind: str, properties: Properties) -> None:
        """Add what the resource `name` costs."""
        if kind in _STANDING:
            title, part = _STANDING[kind]
            self._add(title, part, 1)
        for part in _BY_USE.get(kind, ()):
            self._rate(part)
        if kind == "AWS::EC2::VPCEndpoint":
            self._vpc_endpoint(name, properties)
        elif kind == "AWS::SageMaker::EndpointConfig":
            for variant in properties.get("ProductionVariants", ()):
                self._variant(name, variant)
        elif kind == "AWS::ECS::Service":
            self._service(name, properties)
        elif kind == "AWS::EC2::Instance":
            self._machine(name, self._text(properties.get("InstanceType")), 1)
        else:
            for title, part, quantity in self._sized(kind, properties):
                self._add(title, part, quantity)

    def _sized(self, kind: str, properties: Properties) -> Iterator[tuple[str, str, float]]:
        if kind == "AWS::CloudWatch::Alarm":
            fast = self._number(properties.get("Period", _FAST_PERIOD_S)) or 0
            yield "alarm", "alarm-fast" if 0 < fast < _FAST_PERIOD_S else "alarm", 1
        elif kind == "AWS::WAFv2::WebACL":
            yield "web ACL", "waf-acl", 1
            yield "rules of the web ACL", "waf-rule", len(properties.get("Rules", ()))
        elif kind == "AWS::ElastiCache::ServerlessCache":
            yield "counters (Valkey)", "valkey-serverless-data", _VALKEY_LEAST_GB
        elif kind == "AWS::RDS::DBCluster":
            scaling = properties.get("ServerlessV2ScalingConfiguration", {})
            yield (
                "database at rest",
                "aurora-acu",
                self._number(scaling.get("MinCapacity", 0)) or 0,
            )

    def _vpc_endpoint(self, name: str, properties: Properties) -> None:
        if properties.get("VpcEndpointType", "Gateway") != "Interface":
            return
        zones = self._length(properties.get("SubnetIds"))
        self._add("VPC endpoint", "vpc-endpoint", self._or_one(name, zones))
        self._rate("vpc-endpoint-data")

    def _variant(self, name: str, variant: Properties) -> None:
        if "ServerlessConfig" in variant:
            self.unknown.append(name)
            return
        scaling = variant.get("ManagedInstanceScaling", {})
        first = variant.get("InitialInstanceCount", scaling.get("MinInstanceCount", 1))
        count = self._or_one(name, self._number(first))
        self._machine(name, self._text(variant.get("InstanceType")), count)

    def _machine(self, name: str, kind: str, count: float) -> None:
        price, own = self._catalogue.price(kind, self._region)
        if price is None:
            self.unknown.append(name)
            return
        checked = own and self._catalogue.is_checked(price.dated)
        note = "" if own else f"price of {HOME_REGION}"
        self.items.append(Item(kind, count, price.usd_per_hour, price.dated, checked, note=note))

    def _service(self, name: str, properties: Properties) -> None:
        task = self._resources.get(_reference(properties.get("TaskDefinition")), {})
        details: Properties = task.get("Properties", {})
        if "FARGATE" not in details.get("RequiresCompatibilities", ()):
            return  # its machines are billed, not its tasks
        count = self._or_one(name, self._number(properties.get("DesiredCount", 1)))
        count = max(count, self._least_tasks(name))
        cpu, memory = self._number(details.get("Cpu")), self._number(details.get("Memory"))
        if cpu is None or memory is None:
            self.unknown.append(name)
            return
        arm = details.get("RuntimePlatform", {}).get("CpuArchitecture") == "ARM64"
        prefix = "fargate-arm-" if arm else "fargate-"
        self._add(f"{name} vCPUs (Fargate)", prefix + "vcpu", count * cpu / 1024)
        self._add(f"{name} memory (Fargate)", prefix + "memory", count * memory / 1024)

    def _least_tasks(self, service: str) -> float:
        """The fewest tasks that scaling leaves a service."""
        targets = (
            each.get("Properties", {})
            for each in self._resources.values()
            if each["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget"
        )
        of_it = (each for each in targets if f'"{service}"' in json.dumps(each.get("ResourceId")))
        return max((self._number(each.get("MinCapacity")) or 0 for each in of_it), default=0)

    def _add(self, title: str, part_name: str, quantity: float) -> None:
        if quantity <= 0:
            return
        part = self._catalogue.parts[part_name]
        usd = part.usd / HOURS_PER_MONTH if part.unit.endswith("-month") else part.usd
        checked = self._catalogue.is_checked(part.dated)
        note = "" if self._region == part.region else f"price of {part.region}"
        self.items.append(Item(title, quantity, usd, part.dated, checked, note=note))

    def _rate(self, part_name: str) -> None:
        part = self._catalogue.parts[part_name]
        checked = self._catalogue.is_checked(part.dated)
        self.by_use[part_name] = Rate(part_name, part.usd, part.unit, checked)

    def _or_one(self, name: str, count: float | None) -> float:
        if count is None:
            self.assumed.append(name)
            return 1
        return count

    def _resolved(self, value: object) -> object:
        """The value, or that of the parameter it refers to; None where only AWS can tell."""
        name = _reference(value)
        return self._given.get(name) if name else value

    def _number(self, value: object) -> float | None:
        known = self._resolved(value)
        try:
            return float(known) if isinstance(known, str | int | float) else None
        except ValueError:
            return None

    def _text(self, value: object) -> str:
        known = self._resolved(value)
        return known if isinstance(known, str) else ""

    def _length(self, value: object) -> float | None:
        known = self._resolved(value)
        if isinstance(known, str):
            return len([each for each in known.split(",") if each.strip()])
        return len(known) if isinstance(known, Sequence) else None


def _reference(value: object) -> str:
    """What a `Ref` refers to; empty if it is none."""
    if isinstance(value, Mapping) and set(value) == {"Ref"}:
        return str(value["Ref"])
    return ""
