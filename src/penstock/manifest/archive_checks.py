"""Whether what is kept of requests and answers fits the rest of the manifest."""

from collections.abc import Iterator

from penstock.manifest.flaws import Flaw, unknown_name
from penstock.manifest.model import Manifest


def check_cache(manifest: Manifest) -> Iterator[Flaw]:
    """What does not fit in `cache`."""
    cache = manifest.cache
    yield from _store(manifest)
    if cache.ttl_s > cache.max_ttl_s:
        what = f"cache.ttl_s ({cache.ttl_s:g}) is longer than cache.max_ttl_s"
        yield Flaw(("cache", "ttl_s"), what, "Raise cache.max_ttl_s.")
    known = [*manifest.model_names, "*"]
    foreign = manifest.engine_kind == "openai" and not manifest.model.served_name
    for number, name in enumerate(cache.models):
        if name not in known and not foreign:
            yield unknown_name(("cache", "models", number), "model", name, known)


def _store(manifest: Manifest) -> Iterator[Flaw]:
    cache = manifest.cache
    if cache.store == "none":
        for name in sorted(cache.model_fields_set - {"store"}):
            what = f"cache.{name} has no effect: cache.store is none"
            yield Flaw(("cache", name), what, "Set cache.store, or remove it.", "store: memory")
    elif cache.store == "valkey":
        if manifest.registry.counters is None:
            what = "cache.store valkey needs registry.counters"
            fix, example = "Say where the server is.", "counters: ${env:VALKEY_URL}"
            yield Flaw(("cache", "store"), what, fix, example)
        if cache.key is None:
            what = "cache.store valkey needs cache.key"
            fix = "Give a reference to a long random text."
            yield Flaw(("cache", "store"), what, fix, "key: ${env:CACHE_KEY}")
        for name in sorted({"max_entries", "max_mib"} & cache.model_fields_set):
            what = f"cache.{name} has no effect on valkey"
            yield Flaw(("cache", name), what, "Set maxmemory of the server.")
    elif cache.key is not None:
        yield Flaw(("cache", "key"), "cache.key has no effect on memory", "Remove it.")


AUDIT_RULES = ("email", "phone", "card", "aws_key", "api_key")
"""What `audit.redact` may name."""


def check_audit(manifest: Manifest) -> Iterator[Flaw]:
    """What does not fit in `audit`."""
    audit, given = manifest.audit, manifest.audit.model_fields_set
    if audit.to is None:
        for name in sorted(given - {"to"}):
            what = f"audit.{name} has no effect: audit.to is missing"
            yield Flaw(("audit", name), what, "Say where it goes, or remove it.", "to: ./audit")
        return
    for number, rule in enumerate(audit.redact):
        if rule not in AUDIT_RULES:
            yield unknown_name(("audit", "redact", number), "rule", rule, list(AUDIT_RULES))
    keys = [name for name in ("key", "key_file", "kms_key") if getattr(audit, name)]
    if len(keys) > 1:
        yield Flaw(("audit", keys[1]), f"audit has both {keys[0]} and {keys[1]}", "Remove one.")
    if not audit.to.startswith("s3://"):
        for name in sorted({"lock", "lock_days"} & given):
            yield Flaw(("audit", name), f"audit.{name} has no effect on a folder", "Remove it.")
    if audit.content == "none":
        for name in sorted({"redact", "patterns", "max_content_bytes"} & given):
            what = f"audit.{name} has no effect: audit.content is none"
            yield Flaw(("audit", name), what, "Set audit.content, or remove it.")


def check_batches(manifest: Manifest) -> Iterator[Flaw]:
    """What does not fit in `batches`."""
    batches = manifest.batches
    if not batches.enabled:
        for name in sorted(batches.model_fields_set - {"enabled"}):
            what = f"batches.{name} has no effect: batches.enabled is false"
            yield Flaw(("batches", name), what, "Remove it.")
        return
    if batches.max_file_mib > batches.quota_mib:
        what = f"batches.max_file_mib ({batches.max_file_mib:g}) is more than batches.quota_mib"
        yield Flaw(("batches", "max_file_mib"), what, "Raise batches.quota_mib.")
    front = manifest.front
    if manifest.target.kind == "sagemaker" and batches.to is not None:
        if front.kind == "none":
            what = "batches.to has no effect without a front"
            yield Flaw(("batches", "to"), what, "Set front.kind: gateway, or remove it.")
        elif front.kind == "rest":
            what = "front.kind rest keeps no accounts, so it runs no batches"
            yield Flaw(("batches", "to"), what, "Set front.kind: gateway, or remove it.")
        elif front.state == "ephemeral":
            what = "front.state ephemeral forgets its batches with the task"
            yield Flaw(("batches", "to"), what, "Set front.state: managed or given.")
