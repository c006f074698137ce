"""The response cache: from the manifest to the gateway's settings, and from those to the parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

_MIN_KEY_BYTES = 32

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from penstock.gateway.caching import Caching
    from penstock.gateway.meters import Meters
    from penstock.gateway.settings import CacheSettings, Settings
    from penstock.ground.clock import Clock
    from penstock.manifest.model import Manifest
    from penstock.registry.cache.stored import AnswerStore


def cache_settings(
    manifest: Manifest, known: Mapping[str, str] | None = None
) -> CacheSettings | None:
    """Return what the gateway is told of the cache; none where nothing is kept.

    `known` are the variables that it will have, where those are not ours.
    """
    import os

    from penstock.gateway.settings import CacheSettings
    from penstock.manifest.references import parse

    told = manifest.cache
    if told.store == "none":
        return None
    key = parse(told.key) if told.key else None
    if key is not None:
        key.resolve(os.environ if known is None else known)
    return CacheSettings(
        store=told.store,
        models=told.models,
        tools=told.tools,
        ttl_s=told.ttl_s,
        max_ttl_s=told.max_ttl_s,
        max_entries=told.max_entries,
        max_bytes=int(told.max_mib * 1024 * 1024),
        max_answer_bytes=told.max_answer_bytes,
        key_env=key.name if key else None,
    )


def version_of(manifest: Manifest, name: str) -> str:
    """Return which weights answer under `name`, as far as the manifest tells."""
    model = manifest.model
    weights = f"{model.id}@{model.revision or ''} {model.dtype} {model.quantization}"
    adapter = manifest.adapters.get(name)
    return f"{weights} {adapter}" if adapter else weights


def open_cache(
    settings: Settings, meters: Meters, registry: CollectorRegistry, wall: Clock
) -> Caching | None:
    """Put the cache of a gateway together; nothing is connected to yet.

    Raises:
        UserError: a shared one lacks its key, its server or a package.
    """
    import secrets
    import time

    from penstock.gateway.caching import Caching
    from penstock.registry.cache.memory import MemoryStore

    told = settings.cache
    if told is None:
        return None
    versions = {model.name: model.version for model in settings.models}
    if told.store == "valkey":
        store, secret = _shared(settings, told)
    else:
        store = MemoryStore(told.max_entries, told.max_bytes, clock=time.monotonic)
        secret = secrets.token_bytes(_MIN_KEY_BYTES)
    cache = Caching(told, store, versions, secret, meters, wall=wall)
    registry.register(cache)
    return cache


def _shared(settings: Settings, told: CacheSettings) -> tuple[AnswerStore, bytes]:
    import os
    import time

    from penstock.ground.errors import UserError

    try:
        from penstock.registry.cache.valkey import ValkeyStore
    except ImportError:
        raise UserError(
            "a shared cache needs clients for Valkey and for AES",
            fix="Install them: pip install 'penstock[valkey]'",
        ) from None
    secret = os.environ.get(told.key_env or "", "").encode()
    if len(secret) < _MIN_KEY_BYTES:
        raise UserError(
            "the key of the shared cache cannot be used",
            why=f"the variable {told.key_env} holds less than {_MIN_KEY_BYTES} bytes",
            fix="Set it to a long random text, the same at every gateway: openssl rand -hex 32",
        )
    where = settings.registry
    url = os.environ.get(where.counters_env or "") if where else None
    if where is None or not url:
        raise UserError("the shared cache has no server", fix="Set registry.counters")
    return ValkeyStore(url, where.space, clock=time.monotonic), secret
