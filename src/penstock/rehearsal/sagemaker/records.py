"""What SageMaker's control plane remembers."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from penstock.rehearsal.cloud import now
from penstock.rehearsal.copies import Copies

Spec = dict[str, Any]


@dataclass(slots=True)
class Model:
    """A model: its containers, role and network as they were given."""

    name: str
    arn: str
    spec: Spec
    created: datetime = field(default_factory=now)

    @property
    def container(self) -> Spec:
        """The first container."""
        return dict(self.spec.get("PrimaryContainer") or self.spec["Containers"][0])


@dataclass(slots=True)
class EndpointConfig:
    """An endpoint configuration; it never changes."""

    name: str
    arn: str
    spec: Spec
    created: datetime = field(default_factory=now)

    @property
    def variants(self) -> list[Spec]:
        """The production variants as they were given."""
        return list(self.spec["ProductionVariants"])


@dataclass(slots=True)
class Variant:
    """A production variant that runs: how many instances, and the engines on them."""

    name: str
    spec: Spec
    instances: int
    copies: Copies
    wanted: int


@dataclass(slots=True)
class Endpoint:
    """An endpoint and what runs behind it."""

    name: str
    arn: str
    config: str
    status: str = "Creating"
    failure: str = ""
    backlog: int | None = None
    deployment: Spec = field(default_factory=dict)
    variants: dict[str, Variant] = field(default_factory=dict)
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)


@dataclass(slots=True)
class Component:
    """An inference component: a base with its copies, or an adapter that rides on one."""

    name: str
    arn: str
    spec: Spec
    endpoint: str
    endpoint_arn: str
    variant: str
    copies: Copies | None
    status: str = "Creating"
    failure: str = ""
    wanted: int = 0
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)

    @property
    def base(self) -> str:
        """The component that an adapter rides on; empty for a base."""
        return str(self.spec["Specification"].get("BaseInferenceComponentName", ""))


@dataclass(slots=True)
class Estate:
    """Everything SageMaker holds in this account and region."""

    models: dict[str, Model] = field(default_factory=dict)
    configs: dict[str, EndpointConfig] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    components: dict[str, Component] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
