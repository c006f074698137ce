"""A gateway in AWS, from the manifest: its settings as plain data, and the source of its image.

The settings are what a local gateway gets, with another engine and other places. They are uploaded
and named by their digest, so a change of the manifest is a new task. They hold no key: tenants'
keys lie in Secrets Manager, and what else is secret comes to the process as variables.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.gateway.settings import EngineSettings, RegistrySettings, Settings
    from penstock.manifest.model import Manifest
    from penstock.targets.aws.stack import Emitted, Observed
    from penstock.targets.front.scene import GatewayFiles

MOST_KEYS = 50
"""Tenants whose keys the stack makes; with more, the admin API makes them."""
DRAIN_S = 100.0
"""How long answers may take to end when a task is stopped; ECS waits 115 s, the balancer 100."""


def emit_stacks(manifest: Manifest, observed: Observed, hub_cache: Path | None = None) -> Emitted:
    """Return the stacks of a manifest for SageMaker, with its front.

    Raises:
        ManifestError: SageMaker, or these templates, cannot serve it so.
        UserError: no instance type is known to serve it.
    """
    from penstock.targets.sagemaker.stacks import emit

    return emit(manifest, observed, hub_cache, gateway_files(manifest, observed.region))


def gateway_files(manifest: Manifest, region: str) -> GatewayFiles | None:
    """Return what the gateway of a front is told and made from; none where there is no front.

    Raises:
        ManifestError: what the manifest names cannot be had in AWS.
    """
    if manifest.front.kind == "none":
        return None
    import msgspec

    from penstock.targets.aws.stack import Upload
    from penstock.targets.front.bundle import gateway_source, mirror_source
    from penstock.targets.front.scene import GatewayFiles

    reachable, secrets = in_process(manifest)
    tenants, prefix = _keyed(manifest)
    told = msgspec.json.encode(cloud_settings(reachable, region, prefix, secrets))
    digest = hashlib.sha256(told).hexdigest()[:16]
    sources = [] if manifest.front.image else [gateway_source(manifest.name)]
    if manifest.ui != "none":
        sources.append(mirror_source(manifest.name, "ui", manifest.front.ui_image))
    return GatewayFiles(
        settings=Upload(f"{manifest.name}/{digest}/gateway.json", lambda: told),
        secrets=secrets,
        tenants=tenants,
        prefix=prefix,
        builds=tuple(build for build, _ in sources),
        sources=tuple(upload for _, upload in sources),
    )


def in_process(manifest: Manifest) -> tuple[Manifest, dict[str, str]]:
    """Return the manifest with variables in place of secrets in AWS, and the ARN of each."""
    from penstock.manifest.model import Manifest

    found: dict[str, str] = {}

    def translated(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: translated(each) for name, each in value.items()}
        if isinstance(value, str) and value.startswith("${secret:"):
            arn = value.removeprefix("${secret:").removesuffix("}")
            name = f"PENSTOCK_GIVEN_{hashlib.sha256(arn.encode()).hexdigest()[:12].upper()}"
            found[name] = arn
            return f"${{env:{name}}}"
        return value

    told = manifest.model_dump()
    apart = {"target": told.pop("target")}  # what is secret there is SageMaker's, not a process's
    return Manifest.model_validate(translated(told) | apart), found


def cloud_settings(
    manifest: Manifest, region: str, prefix: str, known: Mapping[str, str]
) -> Settings:
    """Return the settings of a gateway in AWS.

    Tenants' keys are below `prefix` there; `known` are the variables that the process has.
    """
    import msgspec

    from penstock.targets.front.balancer import keep_alive_s
    from penstock.targets.front.gateway import ADMIN_VARIABLE
    from penstock.targets.front.scene import PORT
    from penstock.wiring.auditing import audit_settings
    from penstock.wiring.batches import batch_settings
    from penstock.wiring.caching import cache_settings
    from penstock.wiring.routing import with_routes

    on_fargate = manifest.front.kind == "gateway"
    home = Path("." if on_fargate else "/tmp")  # noqa: S108 - all that Lambda has
    settings = msgspec.structs.replace(
        _plain(manifest, region, prefix),
        host="0.0.0.0" if on_fargate else "127.0.0.1",  # noqa: S104 - its group lets in who may
        port=PORT,
        keep_alive_s=float(keep_alive_s(manifest)),
        drain_s=DRAIN_S,
        metrics_open=False,
        registry=_registry(manifest) if on_fargate else None,
        admin_env=ADMIN_VARIABLE if on_fargate else None,
        cache=cache_settings(manifest, known),
        audit=audit_settings(manifest, home, known),
        batches=batch_settings(manifest, None) if on_fargate else None,
    )
    return with_routes(settings, manifest)


def _plain(manifest: Manifest, region: str, prefix: str) -> Settings:
    """Return what a gateway is told of engines, models, tenants, their keys and tools."""
    import msgspec

    from penstock.gateway.identity_settings import AwsKeySettings
    from penstock.targets.front.gateway import TURNS_VARIABLE
    from penstock.wiring.local import gateway_settings, tenant_settings

    engines = _engines(manifest, region)
    tenants = _with_ui(manifest, tenant_settings(manifest, None))
    settings = gateway_settings(manifest, engines, manifest.served_model, tenants, {})
    models = tuple(
        msgspec.structs.replace(model, engines=(model.name,), upstream="", elsewhere=True)
        for model in settings.models
    )
    sources = settings.key_sources
    if prefix:
        held = AwsKeySettings(prefix=prefix, region=region)
        sources = msgspec.structs.replace(sources, aws=held)
    tools = settings.tools
    if tools.continuation_key_env is None:
        tools = msgspec.structs.replace(tools, continuation_key_env=TURNS_VARIABLE)
    return msgspec.structs.replace(settings, models=models, key_sources=sources, tools=tools)


def _engines(manifest: Manifest, region: str) -> tuple[EngineSettings, ...]:
    """Return one engine for each model and adapter: the endpoint, or a component on it."""
    from penstock.targets.sagemaker.deployment import (
        base_component,
        component_name,
        stack_name,
    )
    from penstock.wiring.prices import with_hours
    from penstock.wiring.sagemaker import front_engines

    stack = stack_name(manifest)
    components: dict[str, str] = {}
    if manifest.target.mode == "components":
        components = {name: component_name(stack, name) for name in manifest.adapters}
        components[manifest.served_model] = base_component(stack)
    engines = front_engines(manifest, stack, components, region)
    # An adapter is computed by the machines of its base: their hours are charged once.
    own = with_hours(engines[:1], manifest, manifest.served_model)
    return (*own, *engines[1:])


def _keyed(manifest: Manifest) -> tuple[tuple[str, ...], str]:
    """Return the tenants that get a key, and what the names of their secrets begin with."""
    from penstock.ground.errors import ManifestError
    from penstock.targets.front.scene import UI
    from penstock.wiring.local import DEFAULT_TENANT

    if manifest.keys.aws.prefix:
        return (), manifest.keys.aws.prefix
    names = dict.fromkeys(manifest.tenants or (DEFAULT_TENANT,))
    if len(names) > MOST_KEYS:
        if manifest.front.kind == "rest":
            raise ManifestError(
                f"{len(names)} tenants are too many for a REST API's usage plans",
                why=f"the stack makes a key and a plan for each, {MOST_KEYS} at most",
                fix="Set front.kind: gateway",
            )
        names = {}
    if manifest.ui != "none":
        names[UI] = None
    return tuple(names), f"penstock/{manifest.name}/tenants/"


def _with_ui(manifest: Manifest, tenants: Any) -> Any:
    """Return the tenants with Open WebUI as one more, unless the manifest has it."""
    from penstock.gateway.settings import TenantSettings
    from penstock.targets.front.scene import UI

    if manifest.ui == "none" or UI in manifest.tenants:
        return tenants
    return (*tenants, TenantSettings(name=UI, requests_per_day=1_000_000))


def _registry(manifest: Manifest) -> RegistrySettings:
    """Return where accounts are kept; paths are in the folder that the container works in."""
    from penstock.gateway.settings import RegistrySettings
    from penstock.manifest.references import parse
    from penstock.targets.front.gateway import COUNTERS_VARIABLE, DATABASE_VARIABLE

    front, told = manifest.front, manifest.registry
    database, counters = None, None
    if front.state == "managed":
        database, counters = DATABASE_VARIABLE, COUNTERS_VARIABLE
    elif front.state == "given":
        database = parse(told.url).name if told.url else None
        counters = parse(told.counters).name if told.counters else None
    return RegistrySettings(
        folder="usage",
        database=None if database else "registry.db",
        database_env=database,
        counters_env=counters,
        space=manifest.name,
    )
