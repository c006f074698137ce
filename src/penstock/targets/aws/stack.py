"""What a target hands to whoever applies it: stacks, files to upload, and what was observed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEPLOYMENT_TAG, VERSION_TAG = "penstock:deployment", "penstock:version"
"""The tags on everything that Penstock makes; costs can be allocated by the first."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that must lie in the deployment's bucket before the main stack is applied."""

    key: str
    content: Callable[[], bytes] | Path


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """A container image that must be in the deployment's repository before the main stack.

    It is `RepositoryUri:tag`. The tag tells the contents, so one that is there already is not
    built again. `source` is the key of an upload: a zip with a Dockerfile at its root. Where there
    is no Docker, the CodeBuild project `BuildProject` builds it: start it with `source` as the
    location (`BUCKET/KEY`) and the variable `IMAGE_TAG`. Both names are outputs of the base stack.
    """

    tag: str
    source: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A CloudFormation stack; `parameters` holds the values that are known already.

    A parameter that has no value there is the base stack's output of the same name.
    """

    name: str
    template: dict[str, object]
    parameters: Mapping[str, str]
    capabilities: tuple[str, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Emitted:
    """Everything of a deployment: `base` lasts, `main` is what changes.

    They are applied in this order: the base stack; `uploads` into its output `BucketName`;
    `builds`; the main stack. Deleting goes the other way; then the bucket is emptied, and the
    repository empties itself.
    """

    base: Stack
    main: Stack
    uploads: tuple[Upload, ...]
    builds: tuple[ImageBuild, ...] = ()
    cautions: tuple[str, ...] = ()
    """What whoever deploys it should know before, a sentence each."""


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """What was read of an existing SageMaker domain."""

    id: str
    vpc: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    execution_role: str
    network_only: bool = False


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """An existing network to use."""

    vpc: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """What was read from AWS; the defaults are for templates that are rendered without it."""

    region: str
    account: str = ""
    domain: DomainFacts | None = None
    vpc: NetworkFacts | None = None
    bucket: str | None = None
    base_outputs: Mapping[str, str] = field(default_factory=dict)
