"""What every part of a front is written from: decided once, before any resource is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from troposphere import Join, Ref, Sub

from penstock.manifest.model import Manifest
from penstock.targets.aws.roles import Statement
from penstock.targets.aws.stack import ImageBuild, Upload

PORT = 8080
"""Where the gateway and Open WebUI listen."""
HOME = "/var/lib/penstock"
"""What the gateway writes to."""
UI = "open-webui"
"""The tenant that Open WebUI is."""
SIZES = {
    "small": (512, 1024),
    "medium": (1024, 2048),
    "large": (2048, 4096),
    "xlarge": (4096, 8192),
}
"""CPU units and MiB of one gateway."""


@dataclass(frozen=True, slots=True)
class GatewayFiles:
    """What a gateway in AWS is told, and what its images are built from.

    `settings` is uploaded; `secrets` maps variables of the process to ARNs of existing secrets;
    `tenants` have a key each, made in Secrets Manager under `prefix`.
    """

    settings: Upload
    secrets: Mapping[str, str] = field(default_factory=dict)
    tenants: tuple[str, ...] = ()
    prefix: str = ""
    builds: tuple[ImageBuild, ...] = ()
    sources: tuple[Upload, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """A front of one deployment.

    `engines` is what the gateway must be allowed; `key` is the KMS key as the stack names it.
    """

    manifest: Manifest
    stack: str
    files: GatewayFiles
    engines: tuple[Statement, ...]
    key: object | None

    @property
    def is_public(self) -> bool:
        """Whether the load balancer is reached from the internet."""
        return not self.manifest.front.internal

    @property
    def has_ui(self) -> bool:
        """Whether there is a chat in the browser."""
        return self.manifest.ui != "none"

    @property
    def is_managed(self) -> bool:
        """Whether database and counters are made."""
        front = self.manifest.front
        return front.kind == "gateway" and front.state == "managed"

    def image(self, kind: str) -> object:
        """The address of an image in the deployment's repository, or the user's own."""
        given = self.manifest.front.image
        if kind == "gateway" and given:
            return given
        tag = next(build.tag for build in self.files.builds if build.tag.startswith(f"{kind}-"))
        return Join(":", [Ref("RepositoryUri"), tag])


def settings_place(scene: Scene) -> Join:
    """The `s3://` address of the gateway's settings."""
    return Join("", ["s3://", Ref("BucketName"), "/", scene.files.settings.key])


def settings_arn(scene: Scene) -> Sub:
    """The ARN of the gateway's settings in the bucket."""
    return Sub(f"arn:${{AWS::Partition}}:s3:::${{BucketName}}/{scene.files.settings.key}")
