"""Where a gateway's settings are: a file, or an object in S3, read with the role of the task."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.gateway.settings import Settings


def read_from(place: str) -> Settings:
    """Return the settings at a path or at `s3://BUCKET/KEY`, with the digest of the admin key.

    Raises:
        UserError: they cannot be read, or the variable of the admin key has no value.
        MachineError: they are in S3, and boto3 is not installed.
        msgspec.ValidationError: they are not what `wiring/` writes.
    """
    import msgspec

    from penstock.gateway.settings import Settings, read_settings
    from penstock.ground.errors import UserError
    from penstock.registry.keys import digest_of

    if place.startswith("s3://"):
        settings = msgspec.json.decode(_fetched(place), type=Settings)
    else:
        settings = read_settings(Path(place))
    if settings.admin_env is None:
        return settings
    key = os.environ.get(settings.admin_env)
    if not key:
        raise UserError("the admin API has no key", fix=f"Set the variable {settings.admin_env}")
    return msgspec.structs.replace(settings, admin=digest_of(key.encode()).hex())


def _fetched(place: str) -> bytes:
    from penstock.ground.errors import MachineError, UserError

    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        fix = "Install it: pip install 'penstock[aws]'"
        raise MachineError("settings in S3 are read by boto3", fix=fix) from None
    bucket, _, key = place.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    try:
        return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    except (BotoCoreError, ClientError) as error:
        raise UserError(f"the settings at {place} cannot be read", why=str(error)) from error
    finally:
        client.close()
