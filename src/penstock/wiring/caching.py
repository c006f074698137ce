"""The response cache: from the manifest to the gateway's settings, and from those to the parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from penstock.gateway.caching import Caching
    from penstock.gateway.meters import Meters
    from penstock.gateway.settings import CacheSettings, Settings
    from penstock.manifest.model import Manifest


def cache_settings(manifest: Manifest) -> CacheSettings | None:
    """Return what the gateway is told of the cache; none where nothing is kept."""
    from penstock.gateway.settings import CacheSettings

    told = manifest.cache
    if told.store == "none":
        return None
    return CacheSettings(
        store=told.store,
        models=told.models,
        tools=told.tools,
        ttl_s=told.ttl_s,
        max_ttl_s=told.max_ttl_s,
        max_entries=told.max_entries,
        max_bytes=int(told.max_mib * 1024 * 1024),
        max_answer_bytes=told.max_answer_bytes,
    )


def version_of(manifest: Manifest, name: str) -> str:
    """Return which weights answer under `name`, as far as the manifest tells."""
    model = manifest.model
    weights = f"{model.id}@{model.revision or ''} {model.dtype} {model.quantization}"
    adapter = manifest.adapters.get(name)
    return f"{weights} {adapter}" if adapter else weights


def open_cache(settings: Settings, meters: Meters, registry: CollectorRegistry) -> Caching | None:
    """Put the cache of a gateway together; nothing is connected to yet."""
    import secrets
    import time

    from penstock.gateway.caching import Caching
    from penstock.registry.cache.memory import MemoryStore

    told = settings.cache
    if told is None:
        return None
    versions = {model.name: model.version for model in settings.models}
    store = MemoryStore(told.max_entries, told.max_bytes, wall=time.time)
    cache = Caching(told, store, versions, secrets.token_bytes(32), meters)
    registry.register(cache)
    return cache
