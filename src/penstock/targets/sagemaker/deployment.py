"""A manifest made definite: everything that the templates are written from, decided once."""

import hashlib
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from penstock.catalog.images import image_of
from penstock.ground.errors import ManifestError, PenstockError
from penstock.manifest.model import SHIPPED_MODEL, Manifest
from penstock.manifest.target import OWN_KEY
from penstock.targets.aws.stack import DEPLOYMENT_TAG, VERSION_TAG, Observed, Upload
from penstock.targets.front.scene import GatewayFiles
from penstock.targets.sagemaker import servers
from penstock.targets.sagemaker.machine import NO_MACHINE, Machine, pick_machine
from penstock.targets.sagemaker.triton import pack_files, repository, triton_environment

SUPPORTED = {
    "vllm": ("realtime", "components", "async"),
    "lmi": ("realtime", "components", "async"),
    "tgi": ("realtime", "components", "async"),
    "triton": ("realtime", "async"),
}
"""Which modes an engine can be served in."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """Model files in S3: one `.tar.gz`, or all objects below a prefix; `upload` brings them.

    `bucket_key` lies in the deployment's own bucket; `uri` is complete.
    """

    uri: str = ""
    bucket_key: str = ""
    upload: Upload | None = None

    @property
    def is_archive(self) -> bool:
        """Whether SageMaker has to unpack it."""
        return (self.uri or self.bucket_key).endswith(".tar.gz")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment to SageMaker."""

    manifest: Manifest
    observed: Observed
    mode: str
    machine: Machine
    image: str
    inference_ami: str
    environment: Mapping[str, str]
    artifact: Artifact | None
    gateway: GatewayFiles | None = None
    """What the gateway of a front is told; none where there is no front."""
    caution: str = ""
    """What whoever deploys the image should know before."""

    @property
    def stack(self) -> str:
        """The name of the main stack and of the endpoint."""
        return stack_name(self.manifest)

    @property
    def base_component(self) -> str:
        """The name of the inference component that holds the model."""
        return base_component(self.stack)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of everything in the deployment."""
        return {DEPLOYMENT_TAG: self.manifest.name, VERSION_TAG: version("penstock")}

    @property
    def makes_role(self) -> bool:
        """Whether the base stack makes the execution role; else it exists already."""
        return self.manifest.target.role is None and self.manifest.target.domain is None

    @property
    def has_network(self) -> bool:
        """Whether the containers stand in a network of the account, else in SageMaker's own."""
        target = self.manifest.target
        return bool(target.network.subnets or target.domain or target.network.own)

    @property
    def makes_network(self) -> bool:
        """Whether the base stack makes a network: a front needs one, where none is given."""
        target = self.manifest.target
        given = target.network.subnets or target.domain
        return target.network.own or bool(self.manifest.front.kind == "gateway" and not given)

    @property
    def copies(self) -> int:
        """Copies of the model that one machine runs; TGI and Triton start one alone."""
        return self.machine.copies if self.manifest.engine_kind in ("vllm", "lmi") else 1

    def machines(self, copies: int) -> int:
        """Machines that run so many copies."""
        return -(-copies // self.copies)

    @property
    def makes_group(self) -> bool:
        """Whether the base stack makes the containers' security group: in a network of its own,
        and in that of a domain whose users have none."""
        target, domain = self.manifest.target, self.observed.domain
        lacks = domain is not None and not domain.security_groups
        return target.network.own or (lacks and not target.network.subnets)

    def key(self, own: object) -> object | None:
        """The KMS key of all that is kept: one that exists, or `own`, made by the base stack."""
        given = self.manifest.target.kms_key
        return own if given == OWN_KEY else given

    @property
    def found(self) -> dict[str, str]:
        """Values of the main stack's parameters as far as they are known, by name."""
        target, domain = self.manifest.target, self.observed.domain
        known = dict(self.observed.base_outputs)
        if self.observed.bucket:
            known["BucketName"] = self.observed.bucket
        if domain:
            known["ExecutionRoleArn"] = domain.execution_role
            known["SubnetIds"] = ",".join(domain.subnets)
            if domain.security_groups:
                known["SecurityGroupIds"] = ",".join(domain.security_groups)
            known["VpcId"] = domain.vpc
        if target.role:
            known["ExecutionRoleArn"] = target.role
        if target.network.subnets:
            known["SubnetIds"] = ",".join(target.network.subnets)
            known["SecurityGroupIds"] = ",".join(target.network.security_groups)
        if target.network.vpc:
            known["VpcId"] = target.network.vpc
        if target.network.public_subnets:
            known["PublicSubnetIds"] = ",".join(target.network.public_subnets)
        return {name: value for name, value in known.items() if value}

    def component_of(self, adapter: str) -> str:
        """The name of an adapter's inference component."""
        return component_name(self.stack, adapter)


def stack_name(manifest: Manifest) -> str:
    """The name of the main stack and of the endpoint."""
    return f"penstock-{manifest.name}"


def base_component(stack: str) -> str:
    """The name of the inference component that holds the model."""
    return f"{stack}-base"


def component_name(stack: str, adapter: str) -> str:
    """The name of an adapter's inference component: letters, digits and dashes, 63 at most.

    A name that has to be changed for that carries a piece of its digest, so that two adapters
    never share a component.
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "-", adapter).strip("-")
    name = f"{stack}-{plain}"
    if plain == adapter and plain != "base" and len(name) <= 63:
        return name
    digest = hashlib.sha256(adapter.encode()).hexdigest()[:8]
    return f"{name[:54].rstrip('-')}-{digest}"


def resolve(
    manifest: Manifest, observed: Observed, hub_cache: Path, gateway: GatewayFiles | None = None
) -> Deployment:
    """Decide everything that `manifest` leaves open.

    Raises:
        PenstockError: there is a front, and nothing for its gateway.
        ManifestError: SageMaker, or these templates, cannot serve it so.
        UserError: no instance type is known to serve it.
    """
    mode, kind = manifest.target.mode or "realtime", manifest.engine_kind
    _refuse(manifest, mode, kind)
    if gateway is None and manifest.front.kind != "none":
        raise PenstockError("nothing is given for the gateway of this front")
    machine = NO_MACHINE if mode == "serverless" else pick_machine(manifest, hub_cache)
    if not (machine.gpus or manifest.target.image):
        raise ManifestError(
            f"{machine.type} has no GPU that the catalogue knows, and the image needs one",
            fix="Name another type in target.instances, or an image of yours in target.image",
        )
    packed = _triton(manifest, machine.gpus_per_copy) if kind == "triton" else _artifact(manifest)
    image = None if manifest.target.image else image_of(kind)
    return Deployment(
        manifest=manifest,
        observed=observed,
        mode=mode,
        machine=machine,
        image=image.uri(observed.region) if image else str(manifest.target.image),
        inference_ami=manifest.target.inference_ami or (image.inference_ami if image else ""),
        environment=servers.hub_token(
            _environment(manifest, machine, packed), manifest.target.hub_token
        ),
        artifact=packed,
        gateway=gateway,
        caution=image.caution if image else "",
    )


def _refuse(manifest: Manifest, mode: str, kind: str) -> None:
    if manifest.target.kind != "sagemaker":
        raise ManifestError(
            f"target.kind {manifest.target.kind} has no templates",
            fix="Set target.kind: sagemaker",
        )
    if mode == "serverless" and not manifest.target.image:
        raise ManifestError(
            f"engine.kind {kind} needs a GPU, and SageMaker's serverless inference has none",
            why="serverless containers have at most 6,144 MB of memory and CPUs alone",
            fix="Set target.mode: components with scale.min: 0, or target.image to one for CPUs",
        )
    network = manifest.target.network
    if mode == "serverless" and (network.subnets or network.own or manifest.target.domain):
        raise ManifestError(
            "target.mode serverless has no network of yours",
            why="SageMaker runs serverless containers outside of any VPC",
            fix="Remove target.network and target.domain, or set another mode",
        )
    if mode != "serverless" and mode not in SUPPORTED.get(kind, ()):
        raise ManifestError(
            f"engine.kind {kind} cannot be served in target.mode {mode}",
            fix="Set engine.kind: vllm",
        )
    if manifest.adapters and kind == "tgi":
        raise ManifestError("TGI serves no adapters on SageMaker", fix="Set engine.kind: vllm")
    if manifest.adapters and mode != "components" and kind != "triton":
        raise ManifestError(
            f"adapters cannot be served in target.mode {mode}",
            why="SageMaker loads an adapter as an inference component of its own",
            fix="Set target.mode: components",
        )


def _environment(
    manifest: Manifest, machine: Machine, artifact: Artifact | None
) -> Mapping[str, str]:
    """The container's variables, without the Hub's token."""
    gpus, kind = machine.gpus_per_copy, manifest.engine_kind
    source = servers.MODEL_PLACE if artifact else manifest.model.id
    if kind == "triton":
        return triton_environment(manifest)
    if kind == "tgi":
        return servers.tgi_environment(manifest, source, gpus)
    if kind == "lmi":
        return servers.lmi_environment(manifest, source, gpus)
    shared = 1 if manifest.target.mode == "components" else machine.copies
    return servers.vllm_environment(manifest, source, gpus, shared)


def _triton(manifest: Manifest, gpus: int) -> Artifact:
    found = repository(manifest, gpus)
    digest = hashlib.sha256()
    for path, content in found.items():
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    key = f"{manifest.name}/{digest.hexdigest()[:16]}/model_repository.tar.gz"
    return Artifact(bucket_key=key, upload=Upload(key, lambda: pack_files(found)))


def _artifact(manifest: Manifest) -> Artifact | None:
    """The model's files, where they are not the Hub's."""
    name = manifest.model.id
    if name.startswith("s3://"):
        return Artifact(uri=name)
    if name == SHIPPED_MODEL:
        folder = Path(str(files("penstock.engines.embedded").joinpath("model")))
    else:
        folder = Path(name).expanduser()
        if not name.startswith((".", "/", "~")) and not folder.is_dir():
            return None
    if not (folder / "config.json").is_file():
        raise ManifestError(f"there is no model folder {name}", fix="Check model.id")
    digest = _digest(folder)
    key = f"{manifest.name}/{digest}/model.tar.gz"
    return Artifact(bucket_key=key, upload=Upload(key, lambda: pack(folder)))


def _digest(folder: Path) -> str:
    """16 hexadecimal digits of the names, sizes and contents of the files in `folder`."""
    found = hashlib.sha256()
    for file in _files(folder):
        found.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()[:16]


def pack(folder: Path) -> bytes:
    """The files of `folder` as a `.tar.gz` with them at its root."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for file in _files(folder):
            archive.add(file, arcname=file.name)
    return packed.getvalue()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file())
