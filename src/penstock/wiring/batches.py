"""Files and batches: from the manifest to the gateway's settings, and from those to the parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from starlette.routing import BaseRoute

    from penstock.gateway.admission import Admission
    from penstock.gateway.batching.dispatcher import Dispatcher
    from penstock.gateway.fleet import Fleet
    from penstock.gateway.front import Front
    from penstock.gateway.settings import BatchSettings, Settings
    from penstock.manifest.model import Manifest
    from penstock.registry.batches.contents import Contents
    from penstock.registry.office import Office

_MIB, _DAY_S = 1024 * 1024, 86_400.0
UPLOADS = frozenset((b"/v1/files",))


def batch_settings(manifest: Manifest, home: Path | None) -> BatchSettings | None:
    """Return what the gateway is told of files and batches; none where there are none.

    `home` is the stack's folder on this machine, none in AWS.
    """
    from penstock.gateway.settings import BatchSettings

    told = manifest.batches
    if not told.enabled or (home is None and told.to is None):
        return None
    own = Path("batches") if home is None else home / "batches"
    folder = own if told.folder is None else Path(told.folder).resolve()
    return BatchSettings(
        folder=str(folder),
        bucket=None if told.folder is not None else told.to,
        max_file_bytes=int(told.max_file_mib * _MIB),
        upload_timeout_s=told.upload_timeout_s,
        max_lines=told.max_lines,
        quota_bytes=int(told.quota_mib * _MIB),
        life_s=told.keep_days * _DAY_S,
        at_once=told.at_once,
        share=told.share,
        places=told.places,
        max_active=told.max_active,
    )


def open_batches(
    settings: Settings,
    office: Office | None,
    served: tuple[Front, Admission, Fleet],
    registry: CollectorRegistry,
) -> tuple[Dispatcher | None, list[BaseRoute]]:
    """Return what runs batches, and their routes; `registry` gets their metrics.

    Without a place for files, or without a registry, the routes say so.

    Raises:
        MachineError: a package is missing.
        UserError: the address of the place is wrong.
    """
    from penstock.gateway.batching.doors import closed

    front, admission, fleet = served
    told = settings.batches
    if told is None or office is None:
        return None, closed(admission)
    import secrets
    import socket
    import time

    from penstock.gateway.batching.batch_routes import BatchRoutes
    from penstock.gateway.batching.dispatcher import Dispatcher
    from penstock.gateway.batching.doors import Guard
    from penstock.gateway.batching.file_routes import FileRoutes
    from penstock.gateway.batching.idle import Idle
    from penstock.gateway.batching.kit import Kit
    from penstock.gateway.meters import Scraped
    from penstock.registry.stores.batches import BatchStore
    from penstock.registry.stores.files import FileStore

    wall = office.wall or time.time
    store, files = BatchStore(office.database), FileStore(office.database)
    contents = _contents(told)
    kit = Kit(
        settings,
        told,
        front,
        admission,
        Idle(settings, told, admission, fleet),
        store,
        contents,
        f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}",
        wall,
        time.monotonic,
    )
    dispatcher = Dispatcher(kit, files)
    registry.register(Scraped(dispatcher.families))
    guard = Guard(admission, lambda: dispatcher.trouble)
    for_files = FileRoutes(told, files, contents, kit.threads, wall)
    for_batches = BatchRoutes(told, admission, dispatcher, store, wall)
    return dispatcher, guard.routes(for_files.actions() | for_batches.actions())


def upload_settings(settings: Settings) -> tuple[frozenset[bytes], Settings] | None:
    """Return what holds for uploads in place of the settings, and for which paths."""
    import msgspec

    told = settings.batches
    if told is None:
        return None
    form_bytes = 65_536  # what stands around the file
    longer = msgspec.structs.replace(
        settings,
        max_body_bytes=told.max_file_bytes + form_bytes,
        body_timeout_s=told.upload_timeout_s,
    )
    return UPLOADS, longer


def _contents(told: BatchSettings) -> Contents:
    from penstock.registry.batches.contents import Folder

    if told.bucket is None:
        return Folder(Path(told.folder))
    from penstock.ground.errors import MachineError

    try:
        from penstock.registry.batches.bucket import BucketContents
    except ImportError:
        fix = "Install it: pip install 'penstock[aws]'"
        raise MachineError("S3 needs boto3", fix=fix) from None
    return BucketContents(told.bucket)
