"""The audit: from the manifest to the gateway's settings, and from those to the parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from penstock.gateway.audit_office import AuditOffice
    from penstock.gateway.charges import Charges
    from penstock.gateway.fleet import Fleet
    from penstock.gateway.settings import AuditSettings, Settings
    from penstock.manifest.model import Manifest
    from penstock.registry.audit.bucket import Bucket
    from penstock.registry.audit.minutes import Minutes, Undertaker
    from penstock.registry.audit.reading import Chains
    from penstock.registry.audit.records import Contents
    from penstock.registry.audit.sealing import KeyWrapper
    from penstock.registry.scribe import Scribe

_EXTRA = "Install it: pip install 'penstock[audit]'"


def audit_settings(
    manifest: Manifest, home: Path, known: Mapping[str, str] | None = None
) -> AuditSettings | None:
    """Return what the gateway is told of the audit; none where there is none.

    `known` are the variables that it will have, where those are not ours.

    Raises:
        UserError: the reference to its key has no value.
    """
    import os

    from penstock.gateway.settings import AuditSettings
    from penstock.manifest.references import parse

    told = manifest.audit
    if told.to is None:
        return None
    is_bucket = told.to.startswith("s3://")
    key = parse(told.key) if told.key else None
    if key is not None:
        key.resolve(os.environ if known is None else known)
    return AuditSettings(
        folder=str(home / "audit") if is_bucket else str(Path(told.to).resolve()),
        bucket=told.to if is_bucket else None,
        lock=told.lock,
        lock_days=told.lock_days,
        content=told.content,
        max_content_bytes=told.max_content_bytes,
        client_addresses=told.client_addresses,
        redact=told.redact,
        patterns=told.patterns,
        key_env=key.name if key else None,
        key_file=str(Path(told.key_file).resolve()) if told.key_file else None,
        kms_key=told.kms_key,
        segment_bytes=int(told.segment_mib * 1024 * 1024),
        segment_s=told.segment_s,
        sync_s=told.sync_s,
        max_spool_bytes=int(told.max_spool_mib * 1024 * 1024),
    )


def open_audit(
    settings: Settings,
    charges: Charges,
    fleet: Fleet,
    registry: CollectorRegistry,
    scribe: Scribe | None,
) -> AuditOffice | None:
    """Put the audit of a gateway together, and let its requests be recorded.

    Raises:
        MachineError: it cannot be written here, or a package is missing.
        UserError: its key or a pattern cannot be used.
    """
    told = settings.audit
    if told is None:
        return None
    import secrets
    import socket

    from penstock.gateway.audit_office import AuditOffice
    from penstock.gateway.auditing import Auditing
    from penstock.registry.audit.archivist import CHAINS, SPOOLS, Archivist
    from penstock.registry.audit.book import Rules
    from penstock.registry.audit.shipping import Shipper
    from penstock.registry.audit.spool import Spool

    wrapper = key_wrapper(told)
    contents = _contents(told)
    folder = Path(told.folder)
    replica = f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
    spool = Spool(folder / SPOOLS / replica, max_bytes=told.max_spool_bytes)
    rules = Rules(told.segment_bytes, told.segment_s, told.sync_s)
    archivist = Archivist(folder, spool, rules, contents, wrapper, wall=charges.wall)
    shipper = Shipper(folder / CHAINS, _bucket(told)) if told.bucket else None
    charges.audit = Auditing(
        spool,
        fleet.names,
        content=told.content,
        addresses=told.client_addresses,
        wall=charges.wall,
    )
    office = AuditOffice(archivist, shipper, scribe)
    registry.register(office)
    return office


def is_in_slots(settings: Settings) -> bool:
    """Whether lines of requests are made of the ledger's slots: they hold all that is written."""
    audit = settings.audit
    if audit is None or settings.registry is None:
        return False
    return audit.content == "none" and not audit.client_addresses


def open_minutes(settings: Settings, replica: str) -> tuple[Minutes | None, Undertaker | None]:
    """Return what writes the lines of requests where they are made of slots, and of the dead's.

    Raises as `key_wrapper` does.
    """
    told = settings.audit
    if told is None:
        return None, None
    from penstock.registry.audit.archivist import CHAINS
    from penstock.registry.audit.book import Book, Rules
    from penstock.registry.audit.minutes import SUFFIX, Minutes, Undertaker

    chains, wrapper = Path(told.folder) / CHAINS, key_wrapper(told)
    undertaker = Undertaker(chains, wrapper)
    if not is_in_slots(settings):
        return None, undertaker
    rules = Rules(told.segment_bytes, told.segment_s, told.sync_s)
    return Minutes(Book(chains / (replica + SUFFIX), rules, wrapper)), undertaker


def _contents(told: AuditSettings) -> Contents:
    from penstock.ground.errors import MachineError
    from penstock.registry.audit.records import Contents

    if told.content == "none":
        return Contents()
    try:
        from penstock.registry.audit.redaction import Redaction
    except ImportError:
        raise MachineError("redaction needs google-re2", fix=_EXTRA) from None
    from penstock.gateway.audit_contents import AnswerReader, PromptReader

    redact = Redaction(told.redact, told.patterns).value
    prompt = PromptReader(redact, told.max_content_bytes)
    full = told.content == "full"
    return Contents(prompt, AnswerReader(redact, told.max_content_bytes) if full else None)


def key_wrapper(told: AuditSettings) -> KeyWrapper | None:
    """Return what opens and makes envelopes; none where nothing is sealed.

    Raises:
        MachineError: a package is missing.
        UserError: the key cannot be used.
    """
    import os

    from penstock.ground.errors import MachineError, UserError

    try:
        if told.kms_key:
            from penstock.registry.audit.kms import KmsKey

            return KmsKey(told.kms_key)
        from penstock.registry.audit.sealing import LocalKey, key_from
    except ImportError as error:
        raise MachineError(f"the audit needs {error.name}", fix=_EXTRA) from None
    if told.key_env:
        return LocalKey(key_from(os.environ.get(told.key_env, "")))
    if told.key_file:
        try:
            return LocalKey(key_from(Path(told.key_file).read_text(encoding="utf-8")))
        except OSError as error:
            raise UserError("the audit's key cannot be read", why=str(error)) from None
    return None


def _bucket(told: AuditSettings) -> Bucket:
    from penstock.ground.errors import MachineError

    try:
        from penstock.registry.audit.bucket import Bucket
    except ImportError:
        raise MachineError("S3 needs boto3", fix=_EXTRA) from None
    return Bucket(told.bucket or "", lock=told.lock, lock_days=told.lock_days)


def told_of(manifest: Manifest, place: str | None, key_file: Path | None) -> AuditSettings:
    """Return where an audit lies and what opens it: at `place`, else where the manifest says.

    Raises:
        UserError: neither says where.
    """
    import msgspec

    from penstock.gateway.settings import AuditSettings
    from penstock.ground.errors import UserError

    where = place or manifest.audit.to
    if where is None:
        raise UserError(
            "which audit?", why="the manifest has none", fix="Give a folder or s3://..."
        )
    told = audit_settings(manifest, Path()) or AuditSettings("")
    is_bucket = where.startswith("s3://")
    told = msgspec.structs.replace(told, folder=where, bucket=where if is_bucket else None)
    if key_file is None:
        return told
    return msgspec.structs.replace(told, key_file=str(key_file), key_env=None, kms_key=None)


def find_chains(told: AuditSettings) -> Chains:
    """Return the chains of an audit, where they lie.

    Raises:
        UserError: there are none.
        StoreUnavailable: they cannot be read.
    """
    from penstock.registry.audit.reading import Chains, Folder

    return Chains(_bucket(told) if told.bucket else Folder(Path(told.folder)))
