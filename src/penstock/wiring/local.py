"""A stack on this machine, put together from the manifest: engines, gateway, keys."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.engines.launch import Launch
    from penstock.gateway.settings import (
        EngineSettings,
        ModelSettings,
        QueueSettings,
        RegistrySettings,
        Settings,
        TenantSettings,
    )
    from penstock.manifest.model import Manifest
    from penstock.targets.local.stack import LocalStack

DEFAULT_TENANT = "default"


def local_stack(
    manifest: Manifest, directory: Path, *, tools: Sequence[str] | None = None
) -> LocalStack:
    """Put a local stack together: engines chosen, keys made, the gateway told.

    `tools` are granted to every tenant in place of the manifest's. Nothing is started.

    Raises:
        UserError: the manifest asks for what cannot be had on this machine.
        EngineUnavailable: nothing answers at `engine.url`.
    """
    import msgspec

    from penstock.engines.launch import Launch
    from penstock.registry import keys
    from penstock.targets.local.ports import free_port
    from penstock.targets.local.stack import LocalStack
    from penstock.targets.local.state import admin_key_file, home
    from penstock.wiring.auditing import audit_settings
    from penstock.wiring.batches import batch_settings
    from penstock.wiring.caching import cache_settings
    from penstock.wiring.prices import with_hours
    from penstock.wiring.routing import with_routes

    launches, served, url = _engines(manifest)
    tenants = tenant_settings(manifest, tools)
    secrets = {tenant.name: keys.new_secret() for tenant in tenants}
    admin = keys.new_secret()
    gateway = manifest.gateway
    listen = gateway.port or free_port(gateway.host)
    engines = with_hours(_engine_settings(manifest, launches, url), manifest, served)
    settings = gateway_settings(manifest, engines, served, tenants, secrets)
    settings = msgspec.structs.replace(
        settings,
        port=listen,
        registry=_registry(manifest, home(directory)),
        cache=cache_settings(manifest),
        audit=audit_settings(manifest, home(directory)),
        batches=batch_settings(manifest, home(directory)),
        admin=keys.digest_of(admin.encode()).hex(),
    )
    settings = with_routes(settings, manifest)
    path = home(directory) / "gateway.json"
    shown = f"[{gateway.host}]" if ":" in gateway.host else gateway.host
    return LocalStack(
        name=manifest.name,
        engines=launches,
        gateway=Launch(
            argv=(sys.executable, "-m", "penstock.cli.gateway", "--settings", str(path)),
            url=f"http://{shown}:{listen}",
            served_model=served,
            ready_timeout_s=30.0,
        ),
        api_key=next(iter(secrets.values())),
        tenant_keys=secrets,
        model=served,
        directory=directory,
        files={path: msgspec.json.encode(settings), admin_key_file(directory): admin.encode()},
        engine_url=url or "",
    )


def _engines(manifest: Manifest) -> tuple[tuple[Launch, ...], str, str | None]:
    """Return what to start, the name it serves, and the address of what already runs."""
    from penstock.engines.embedded_launch import embedded_launch
    from penstock.engines.openai import choose_model, list_models
    from penstock.ground.errors import UserError
    from penstock.manifest.model import SHIPPED_MODEL
    from penstock.manifest.references import parse
    from penstock.targets.local.ports import free_port

    count = manifest.engine.replicas
    if manifest.engine_kind == "openai":
        url = manifest.engine.url
        if url is None:
            raise UserError("engine.kind: openai needs an address", fix="Give --engine-url")
        url = url.rstrip("/").removesuffix("/v1")
        reference = manifest.engine.api_key
        key = parse(reference).resolve(os.environ) if reference else None
        wanted = None if manifest.model.id == SHIPPED_MODEL else manifest.model.id
        return (), choose_model(url, wanted, list_models(url, key)), url
    if manifest.engine_kind == "sagemaker":
        return (), manifest.served_model, None
    if manifest.engine_kind == "embedded":
        manifest = _with_folder(manifest)
        launches = tuple(embedded_launch(manifest, free_port()) for _ in range(count))
        return launches, manifest.served_model, None
    return _vllm_engines(manifest, count), manifest.served_model, None


def _with_folder(manifest: Manifest) -> Manifest:
    """Return the manifest with a folder for its model: the embedded engine itself fetches none."""
    from penstock.engines.model_folder import read_facts
    from penstock.manifest.model import SHIPPED_MODEL

    source = manifest.model.id
    if source == SHIPPED_MODEL or read_facts(source).is_folder:
        return manifest
    from penstock.engines.hub import fetch

    folder = str(fetch(source, manifest.model.revision))
    changes = {"id": folder, "served_name": manifest.served_model}
    return manifest.model_copy(update={"model": manifest.model.model_copy(update=changes)})


def _vllm_engines(manifest: Manifest, count: int) -> tuple[Launch, ...]:
    from importlib.resources import files

    from penstock.engines.model_folder import read_facts
    from penstock.engines.vllm import vllm_launch
    from penstock.engines.vllm_environment import require
    from penstock.manifest.model import SHIPPED_MODEL
    from penstock.targets.local.ports import free_port

    source = manifest.model.id
    if source == SHIPPED_MODEL:
        source = str(files("penstock.engines.embedded") / "model")
    facts = read_facts(source, manifest.adapters)
    host = require()
    return tuple(vllm_launch(manifest, facts, host, free_port()) for _ in range(count))


def tenant_settings(manifest: Manifest, tools: Sequence[str] | None) -> tuple[TenantSettings, ...]:
    """Return the tenants; without any in the manifest, one that may use everything.

    That one is granted the built-in tools only where the shipped model is served, which was made
    for them: elsewhere they would change the user's prompts unasked.
    """
    from penstock.gateway.settings import TenantSettings
    from penstock.ground.errors import UserError
    from penstock.manifest.model import BUILT_IN_TOOLS, SHIPPED_MODEL
    from penstock.manifest.tenancy import Tenant
    from penstock.registry.records import Budgets, Share

    shipped = manifest.model.id == SHIPPED_MODEL and not manifest.runs_elsewhere
    known = (*BUILT_IN_TOOLS, *manifest.tools)
    if unknown := [name for name in tools or () if name.partition(".")[0] not in known]:
        raise UserError(
            f"there is no tool {', '.join(unknown)}", fix=f"Choose among {', '.join(known)}"
        )
    sole = Tenant(tools=BUILT_IN_TOOLS if shipped else ())
    tenants = manifest.tenants or {DEFAULT_TENANT: sole}
    return tuple(
        TenantSettings(
            name=name,
            models=tenant.models,
            tools=tenant.tools if tools is None else tuple(tools),
            requests_per_second=tenant.requests_per_second,
            burst=tenant.burst,
            requests_per_day=tenant.requests_per_day,
            tokens_per_minute=tenant.tokens_per_minute,
            concurrent_requests=tenant.concurrent_requests,
            max_tokens=tenant.max_tokens,
            budgets=Budgets(
                usd_per_day=tenant.usd_per_day,
                usd_per_month=tenant.usd_per_month,
                tokens_per_day=tenant.tokens_per_day,
                tokens_per_month=tenant.tokens_per_month,
                alarm=tenant.alarm_at,
            ),
            share=Share(tenant.weight, tenant.priority),
        )
        for name, tenant in tenants.items()
    )


def gateway_settings(
    manifest: Manifest,
    engines: tuple[EngineSettings, ...],
    served: str,
    tenants: Sequence[TenantSettings],
    secrets: dict[str, str],
) -> Settings:
    """Return what any gateway of a manifest is told; `secrets` are keys by tenant."""
    from penstock.chat.tools.from_manifest import tool_fields
    from penstock.gateway.settings import KeySettings, Settings, ToolSettings, TracingSettings
    from penstock.registry import keys
    from penstock.wiring.identity import key_source_settings

    gateway = manifest.gateway
    return Settings(
        engines=engines,
        models=_models(manifest, served, tuple(engine.name for engine in engines)),
        tenants=tuple(tenants),
        keys=tuple(
            KeySettings(keys.digest_of(secret.encode()).hex(), keys.hint_of(secret), tenant)
            for tenant, secret in secrets.items()
        ),
        tools=ToolSettings(**tool_fields(manifest)),
        host=gateway.host,
        max_body_bytes=gateway.max_body_bytes,
        max_header_bytes=gateway.max_header_bytes,
        request_timeout_s=gateway.request_timeout_s,
        body_timeout_s=gateway.body_timeout_s,
        queue=_queue(manifest),
        key_sources=key_source_settings(manifest.keys),
        metrics_open=gateway.metrics == "open"
        or (gateway.metrics == "auto" and gateway.host in ("127.0.0.1", "localhost", "::1")),
        tracing=TracingSettings(manifest.tracing.endpoint, manifest.tracing.share),
    )


def _queue(manifest: Manifest) -> QueueSettings | None:
    from penstock.gateway.settings import QueueSettings

    queue = manifest.queue
    max_running = queue.max_running or manifest.engine.max_sequences
    if max_running is None:
        return None
    return QueueSettings(
        max_running, queue.max_wait_s, queue.max_waiting, queue.max_waiting_per_tenant
    )


def _models(
    manifest: Manifest, served: str, engines: tuple[str, ...]
) -> tuple[ModelSettings, ...]:
    """Return every model and adapter with its price, limits and longest prompt plus answer."""
    from penstock.gateway.settings import ModelSettings
    from penstock.registry.records import Limits, Price
    from penstock.wiring.caching import version_of
    from penstock.wiring.prices import price_of, weights_of

    context = manifest.model.context or _context(manifest)
    # The embedded engine refuses to be guided by a schema; it would answer nothing that fits.
    guided = manifest.engine_kind != "embedded"
    verifies = guided and manifest.model.structured_outputs == "verify"

    def one(name: str, parent: str | None) -> ModelSettings:
        price = manifest.prices.get(name) or manifest.prices.get(parent or "")
        limit = manifest.limits.get(name)
        return ModelSettings(
            name,
            engines,
            parent,
            context,
            price_of(price, weights_of(manifest, name)) if price else Price(),
            Limits(**limit.model_dump()) if limit else Limits(),
            tools_format=_tools_format(manifest, served),
            version=version_of(manifest, name),
            verify_answers=verifies,
            takes_formats=guided,
            upstream="" if manifest.engine_kind == "sagemaker" else None,
        )

    return (one(served, None), *(one(name, served) for name in manifest.adapters))


def _tools_format(manifest: Manifest, served: str) -> str | None:
    """Return how calls stand in the engine's text; none where it parses them itself."""
    from penstock.catalog.families import text_format

    told = manifest.model.tools_format
    if told == "engine" or not manifest.runs_elsewhere:
        return None
    if told == "auto":  # SageMaker's containers are started with a parser of their own
        return text_format(served) if manifest.engine_kind == "openai" else None
    return told


def _context(manifest: Manifest) -> int | None:
    """Return the context the model was made for, where its folder is on this machine."""
    from importlib.resources import files

    from penstock.engines.model_folder import read_facts
    from penstock.manifest.model import SHIPPED_MODEL

    source = manifest.model.id
    if manifest.runs_elsewhere or source.startswith("s3://"):
        return None
    if source == SHIPPED_MODEL:
        source = str(files("penstock.engines.embedded") / "model")
    return read_facts(source, {}).context or None


def _registry(manifest: Manifest, home: Path) -> RegistrySettings:
    import socket

    from penstock.gateway.settings import RegistrySettings
    from penstock.manifest.references import parse

    def variable(reference: str | None) -> str | None:
        if reference is None:
            return None
        where = parse(reference)
        where.resolve(os.environ)
        return where.name

    told, own = manifest.registry, str(home / "registry.db")
    return RegistrySettings(
        folder=str(home / "usage"),
        database=own if told.url is None else None,
        database_env=variable(told.url),
        counters_env=variable(told.counters),
        space=manifest.name,
        stack=f"up@{socket.gethostname()}:{home.parent.resolve()}"[-100:],
        own_process=told.own_process,
    )


def _engine_settings(
    manifest: Manifest, launches: Sequence[Launch], url: str | None
) -> tuple[EngineSettings, ...]:
    from penstock.gateway.settings import EngineSettings
    from penstock.manifest.references import parse
    from penstock.wiring.sagemaker import own_engine

    if manifest.engine_kind == "sagemaker":
        return (own_engine(manifest),)
    if url is not None:
        reference = manifest.engine.api_key
        key_env = parse(reference).name if reference else None
        return (EngineSettings("engine", url, probe="/v1/models", key_env=key_env),)
    many = len(launches) > 1
    return tuple(
        EngineSettings(f"engine-{number}" if many else "engine", launch.url)
        for number, launch in enumerate(launches, 1)
    )
