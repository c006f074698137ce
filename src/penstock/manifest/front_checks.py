"""Whether `front`, `ui` and the network fit each other and what stands behind them."""

from collections.abc import Iterator

from penstock.manifest.fields import Path
from penstock.manifest.flaws import Flaw
from penstock.manifest.front import Front
from penstock.manifest.model import Manifest
from penstock.manifest.section import Section

OF_THE_GATEWAY = (
    "domain",
    "zone",
    "certificate",
    "plain_http",
    "internal",
    "allow",
    "tasks_min",
    "tasks_max",
    "state",
    "database_min_acu",
    "database_max_acu",
    "ui_image",
)
"""Fields of `front` that have an effect on `front.kind: gateway` alone."""
OF_BOTH = ("size", "waf", "waf_rate", "image")
BUDGETS = ("usd_per_day", "usd_per_month", "tokens_per_day", "tokens_per_month")


def check_front(manifest: Manifest) -> Iterator[Flaw]:
    """What does not fit in `front` and `ui`."""
    front, kind = manifest.front, manifest.front.kind
    if manifest.target.kind != "sagemaker":
        if front != Front():
            what = f"front has no effect on target.kind {manifest.target.kind}"
            yield Flaw(("front",), what, "Remove it, or set target.kind: sagemaker.")
        if manifest.ui != "none":
            what = f"ui has no effect on target.kind {manifest.target.kind}"
            yield Flaw(("ui",), what, "Remove it, or set target.kind: sagemaker.")
        return
    if manifest.ui != "none" and kind != "gateway":
        what = f"ui {manifest.ui} has nothing to speak to: front.kind is {kind}"
        yield Flaw(("ui",), what, "Set front.kind: gateway.")
    unused: tuple[str, ...] = () if kind == "gateway" else OF_THE_GATEWAY
    if kind == "none":
        unused = (*OF_THE_GATEWAY, *OF_BOTH)
    yield from _without_effect(front, ("front",), unused, f"front.kind {kind}")
    if kind == "none":
        return
    yield from _behind(manifest)
    if kind == "gateway":
        yield from _https(front)
        yield from _state(manifest)
    yield from _kept_here(manifest)


def check_network(manifest: Manifest) -> Iterator[Flaw]:
    """What does not fit in `target.network`."""
    target, front = manifest.target, manifest.front
    network, has_front = target.network, front.kind == "gateway"
    given = bool(network.subnets or target.domain)
    if network.own and given:
        what = "target.network.own, and yet there is a network: that of subnets, or of the domain"
        yield Flaw(("target", "network", "own"), what, "Give one of them.")
    makes = network.own or (has_front and not given)
    if not makes:
        what = "a network that exists"
        yield from _without_effect(network, ("target", "network"), ("egress", "cidr"), what)
    if makes or not has_front:
        what = "front.kind " + front.kind if not has_front else "a network that is made"
        needless = ("vpc", "public_subnets")
        yield from _without_effect(network, ("target", "network"), needless, what)
    elif has_front:
        yield from _given(manifest)
    if network.own and network.egress == "endpoints" and _is_of_the_hub(manifest):
        yield Flaw(
            ("target", "network", "egress"),
            f"{manifest.model.id} is fetched from the Hub, which these subnets cannot reach",
            "Set egress: nat, or put the model into S3.",
        )


def _given(manifest: Manifest) -> Iterator[Flaw]:
    """An existing network that the front stands in."""
    network = manifest.target.network
    if network.vpc is None and not manifest.target.domain:
        what = "front.kind gateway needs to know which network the subnets lie in"
        yield Flaw(("target", "network"), what, "Set target.network.vpc.", "vpc: vpc-0a1b2c3d")
    if manifest.front.internal:
        needless = ("public_subnets",)
        yield from _without_effect(network, ("target", "network"), needless, "front.internal")
    elif len(network.public_subnets) < 2:
        what = "a load balancer needs public subnets in two zones"
        yield Flaw(
            ("target", "network"), what, "Set public_subnets, or front.internal.",
            "public_subnets: [subnet-1a2b3c4d, subnet-5e6f7a8b]",
        )  # fmt: skip


def _https(front: Front) -> Iterator[Flaw]:
    if front.plain_http:
        if not front.internal:
            what = "front.plain_http would send keys over the internet for all to read"
            yield Flaw(("front", "plain_http"), what, "Set front.internal, or a certificate.")
        needless = ("certificate",)
        yield from _without_effect(front, ("front",), needless, "front.plain_http")
    elif not front.domain:
        what = "front.kind gateway serves HTTPS, and that needs a name"
        fix = "Set front.domain with zone or certificate; or internal with plain_http."
        yield Flaw(("front",), what, fix, "domain: chat.example.com")
    elif not (front.zone or front.certificate):
        what = f"there is no certificate for {front.domain}"
        yield Flaw(("front",), what, "Set front.zone (one is made), or front.certificate.")
    if front.zone and not front.domain:
        yield Flaw(("front", "zone"), "front.zone has no effect without front.domain")


def _state(manifest: Manifest) -> Iterator[Flaw]:
    front, registry = manifest.front, manifest.registry
    if front.tasks_min > front.tasks_max:
        what = f"front.tasks_min ({front.tasks_min}) is above front.tasks_max ({front.tasks_max})"
        yield Flaw(("front", "tasks_min"), what, "Raise front.tasks_max.")
    if front.state != "given" and (registry.url or registry.counters):
        what = f"registry has no effect on front.state {front.state}"
        yield Flaw(("front", "state"), what, "Set front.state: given.", "state: given")
    if front.state == "given" and not registry.url:
        what = "front.state given, and registry.url gives nothing"
        yield Flaw(("registry",), what, "Name the secret.", "url: ${secret:arn:aws:...}")
    if front.state != "managed":
        acu = ("database_min_acu", "database_max_acu")
        yield from _without_effect(front, ("front",), acu, f"front.state {front.state}")
    elif front.database_min_acu > front.database_max_acu:
        yield Flaw(("front", "database_min_acu"), "database_min_acu is above database_max_acu")
    if front.state == "ephemeral" and front.tasks_max > 1:
        what = "several gateways share no state where each has its own"
        yield Flaw(("front", "tasks_max"), what, "Set front.state: managed or given.")


def _behind(manifest: Manifest) -> Iterator[Flaw]:
    """What a front cannot keep its promises of."""
    front = manifest.front
    if manifest.engine_kind in ("tgi", "triton"):
        what = f"engine.kind {manifest.engine_kind} does not speak OpenAI's dialect on SageMaker"
        yield Flaw(("front", "kind"), what, "Set engine.kind: vllm, or front.kind: none.")
    if manifest.target.mode == "async":
        what = "an asynchronous endpoint answers into S3, and no front waits for that"
        yield Flaw(("front", "kind"), what, "Set front.kind: none, or another target.mode.")
    if front.kind == "rest" and (manifest.registry.url or manifest.registry.counters):
        yield Flaw(("registry",), "registry has no effect on front.kind rest", "Remove it.")
    if front.kind == "gateway" and front.state != "ephemeral":
        return
    where = "front.state ephemeral" if front.kind == "gateway" else "front.kind rest"
    for name, tenant in manifest.tenants.items():
        for budget in BUDGETS:
            if getattr(tenant, budget) is not None:
                what = f"{where} keeps no account of what was spent: the budget would not hold"
                fix = "Set front.kind: gateway with state: managed, or remove the budget."
                yield Flaw(("tenants", name, budget), what, fix)


def _kept_here(manifest: Manifest) -> Iterator[Flaw]:
    """What lies on this machine, where nothing in AWS can read it."""
    for path in _variables(manifest.model_dump(mode="python"), ()):
        if path[0] != "target":
            what = f"{'.'.join(map(str, path))} is a variable of this shell"
            fix = "Keep it in AWS Secrets Manager and name its ARN: ${secret:arn:aws:...}."
            yield Flaw(path, what, fix)
    files: list[tuple[Path, str | None]] = [
        (("builtin_tools", "database"), manifest.builtin_tools.database)
    ]
    files += [
        (("tools", name, "database"), each.database) for name, each in manifest.tools.items()
    ]
    files.append((("audit", "key_file"), manifest.audit.key_file))
    if not (manifest.audit.to or "s3://").startswith("s3://"):
        files.append((("audit", "to"), manifest.audit.to))
    if manifest.batches.folder is not None:
        files.append((("batches", "to"), manifest.batches.folder))
    for path, file in files:
        if file is not None:
            what = f"{'.'.join(map(str, path))} lies on this machine, and the gateway runs in AWS"
            yield Flaw(path, what, "Keep it where AWS can read it.")


def _variables(value: object, path: Path) -> Iterator[Path]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _variables(each, (*path, str(name)))
    elif isinstance(value, str) and value.startswith("${env:"):
        yield path


def _without_effect(
    section: Section, path: Path, names: tuple[str, ...], where: str
) -> Iterator[Flaw]:
    for name in names:
        if getattr(section, name) != type(section).model_fields[name].default:
            what = f"{'.'.join(map(str, path))}.{name} has no effect on {where}"
            yield Flaw((*path, name), what, "Remove it.")


def _is_of_the_hub(manifest: Manifest) -> bool:
    name = manifest.model.id
    return not name.startswith((".", "/", "~", "s3://")) and name != "embedded"
