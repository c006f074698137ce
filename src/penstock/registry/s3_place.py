"""A place in S3 that a user names: `s3://BUCKET/PREFIX`."""

from typing import Any, NamedTuple

import boto3
from botocore.config import Config

from penstock.ground.errors import StoreUnavailable, UserError


class Place(NamedTuple):
    """A bucket, what the names of our objects in it begin with, and boto3's client."""

    bucket: str
    prefix: str
    client: Any


def place_at(url: str) -> Place:
    """Return a place; nothing is asked yet: where it is and who we are, boto3 finds out.

    Raises:
        UserError: this is no such address.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise UserError(f"{url} is no address in S3", fix="Write s3://BUCKET/PREFIX.")
    timeouts = Config(
        connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 3}
    )
    below = prefix.strip("/")
    return Place(bucket, f"{below}/" if below else "", boto3.client("s3", config=timeouts))


def unavailable(bucket: str, error: Exception) -> StoreUnavailable:
    """Return what is told of an error that boto3 has raised."""
    return StoreUnavailable(f"s3://{bucket} cannot be used", why=str(error))
