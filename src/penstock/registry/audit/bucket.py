"""Segments in S3, behind object lock: written once, and by nobody deleted before their time."""

import datetime
from collections.abc import Iterator
from typing import Literal

from botocore.exceptions import BotoCoreError, ClientError

from penstock.registry.s3_place import place_at, unavailable

Lock = Literal["none", "governance", "compliance"]
_DAY_S = 86_400


class Bucket:
    """A place in a bucket: `s3://bucket/prefix`. Belongs to one thread."""

    def __init__(self, url: str, *, lock: Lock = "none", lock_days: int = 0) -> None:
        """Nothing is asked yet; where the bucket is and who we are, boto3 finds out.

        Raises:
            UserError: this is no such address.
        """
        self.bucket, self._prefix, self._client = place_at(url)
        self._lock, self._lock_days = lock, lock_days

    def put(self, name: str, data: bytes) -> None:
        """Write an object; when this returns it is there.

        Raises:
            StoreUnavailable: it may not be.
        """
        more: dict[str, object] = {}
        if self._lock != "none":
            now = datetime.datetime.now(datetime.UTC)
            until = now + datetime.timedelta(seconds=self._lock_days * _DAY_S)
            more = {
                "ObjectLockMode": self._lock.upper(),
                "ObjectLockRetainUntilDate": until,
            }
        try:
            self._client.put_object(
                Bucket=self.bucket,
                Key=self._prefix + name,
                Body=data,
                ChecksumAlgorithm="SHA256",
                **more,
            )
        except (BotoCoreError, ClientError) as error:
            raise unavailable(self.bucket, error) from None

    def names(self) -> Iterator[str]:
        """Yield what there is.

        Raises:
            StoreUnavailable: it cannot be asked.
        """
        try:
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self._prefix):
                for each in page.get("Contents", ()):
                    yield each["Key"][len(self._prefix) :]
        except (BotoCoreError, ClientError) as error:
            raise unavailable(self.bucket, error) from None

    def get(self, name: str) -> bytes:
        """Return an object.

        Raises:
            StoreUnavailable: it cannot be had.
        """
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=self._prefix + name)
            data: bytes = answer["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise unavailable(self.bucket, error) from None
        return data
