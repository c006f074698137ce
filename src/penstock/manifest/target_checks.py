"""Whether `target` fits the rest of the manifest, and what SageMaker cannot do."""

from collections.abc import Iterator

from penstock.manifest.flaws import Flaw
from penstock.manifest.model import Manifest

SAGEMAKER_ONLY = (
    "mode",
    "domain",
    "role",
    "network",
    "update",
    "image",
    "inference_ami",
    "hub_token",
    "copy_memory_mib",
    "kms_key",
    "alarm_email",
    "usd_per_month",
)
"""Fields of `target` that have an effect on `target.kind: sagemaker` alone."""
SAGEMAKER_ENGINES = ("lmi", "tgi", "triton")


def check_target(manifest: Manifest) -> Iterator[Flaw]:
    """What does not fit in `target` and `scale`."""
    target, scale = manifest.target, manifest.scale
    if scale.spot and target.kind not in ("ecs", "eks"):
        what = f"scale.spot has no effect on target.kind {target.kind}"
        yield Flaw(("scale", "spot"), what, "Remove it, or set target.kind: ecs or eks.")
    if target.instances and target.kind == "local":
        what = "target.instances has no effect on target.kind local"
        yield Flaw(("target", "instances"), what, "Remove it, or set another target.kind.")
    if scale.min > scale.max:
        what = f"scale.min ({scale.min}) is above scale.max ({scale.max})"
        yield Flaw(("scale", "min"), what, "Raise scale.max.", f"max: {scale.min}")
    if scale.wake.model_fields_set and not _can_sleep(manifest):
        what = "scale.wake has no effect: no model here is scaled to zero behind SageMaker"
        yield Flaw(("scale", "wake"), what, "Remove it, or set scale.min: 0.")
    if target.kind == "sagemaker":
        yield from _sagemaker(manifest)
        return
    for name in SAGEMAKER_ONLY:
        if getattr(target, name) != type(target).model_fields[name].default:
            what = f"target.{name} has no effect on target.kind {target.kind}"
            yield Flaw(("target", name), what, "Remove it, or set target.kind: sagemaker.")
    if target.kind != "local" and manifest.engine.kind == "sagemaker":
        what = f"engine.kind sagemaker is an endpoint that runs already; target.kind {target.kind}"
        yield Flaw(("engine", "kind"), what, "Leave target.kind local: a gateway before it.")
    if manifest.engine.kind in SAGEMAKER_ENGINES:
        what = f"engine.kind {manifest.engine.kind} is a container of SageMaker"
        yield Flaw(("engine", "kind"), what, "Set target.kind: sagemaker, or engine.kind: vllm.")


def _can_sleep(manifest: Manifest) -> bool:
    """Whether the gateway may find a model without a copy."""
    deployed = manifest.target.kind == "sagemaker" and manifest.scale.min == 0
    named = any(other.endpoint for other in manifest.models.values())
    return deployed or named or manifest.engine_kind == "sagemaker"


def _sagemaker(manifest: Manifest) -> Iterator[Flaw]:
    target, engine = manifest.target, manifest.engine
    if engine.kind == "sagemaker":
        what = "engine.kind sagemaker is an endpoint that runs already: it cannot be deployed"
        yield Flaw(("engine", "kind"), what, "Set target.kind: local, for a gateway before it.")
    mode = target.mode or "realtime"
    if engine.replicas > 1:
        what = "engine.replicas has no effect on target.kind sagemaker"
        yield Flaw(("engine", "replicas"), what, "Set scale.min and scale.max.")
    if manifest.scale.min == 0 and mode == "realtime":
        yield Flaw(
            ("scale", "min"),
            "a realtime endpoint of SageMaker does not scale to zero",
            "Set target.mode: components or async.",
        )
    if target.copy_memory_mib != 1024 and mode != "components":
        what = f"target.copy_memory_mib has no effect on target.mode {mode}"
        yield Flaw(("target", "copy_memory_mib"), what, "Remove it.")
    if bool(target.network.subnets) != bool(target.network.security_groups):
        what = "target.network has subnets or security groups, and not both"
        yield Flaw(("target", "network"), what, "Give both: SageMaker takes them together.")
    yield from _update(manifest, mode)
    if target.usd_per_month and not target.alarm_email:
        what = "target.usd_per_month has no effect: nobody is told"
        yield Flaw(("target", "usd_per_month"), what, "Set target.alarm_email.")
    if target.hub_token and not target.hub_token.startswith("${secret:"):
        yield Flaw(
            ("target", "hub_token"),
            "target.hub_token is a variable of this shell, which SageMaker cannot read",
            "Keep the token in AWS Secrets Manager and name its ARN.",
            "hub_token: ${secret:arn:aws:secretsmanager:...}",
        )
    for name, place in manifest.adapters.items():
        if mode == "components" and not (place.startswith("s3://") and place.endswith(".tar.gz")):
            what = f"the adapter '{name}' is not in S3: an inference component loads one .tar.gz"
            fix = "Pack its files at the root of a .tar.gz and name its s3:// URI."
            yield Flaw(("adapters", name), what, fix)


def _update(manifest: Manifest, mode: str) -> Iterator[Flaw]:
    """How SageMaker can change what runs."""
    update, path = manifest.target.update, ("target", "update")
    moved = sorted(update.model_fields_set)
    if mode == "serverless" and moved:
        what = "target.update has no effect on target.mode serverless"
        yield Flaw(path, what, "Remove it: SageMaker changes these by itself.")
    if mode == "components" and update.policy in ("canary", "linear"):
        what = f"inference components know no {update.policy} update: they change copy by copy"
        yield Flaw((*path, "policy"), what, "Remove it, or set policy: rolling.")
    if update.policy == "rolling" and mode in ("realtime", "async") and manifest.scale.min < 2:
        what = "a rolling update needs two machines: at most half of them change at a time"
        yield Flaw((*path, "policy"), what, "Set scale.min: 2, or another policy.")
    if update.policy == "linear" and update.percent < 10:
        what = "a linear update moves at least 10 % of the traffic at a time"
        yield Flaw((*path, "percent"), what, "Raise it.", "percent: 10")
    if update.policy == "all_at_once" and "percent" in moved:
        what = "target.update.percent has no effect on target.update.policy all_at_once"
        yield Flaw((*path, "percent"), what, "Remove it.")
