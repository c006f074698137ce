"""Contents of files in S3: `s3://BUCKET/PREFIX`, the same for all gateways."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from penstock.registry.batches.contents import MARK, PIECE, Missing, checked_mark
from penstock.registry.s3_place import place_at, unavailable

_GATHER_S = 5.0
"""An object every so often, and not one a result: after a kill so much is computed again."""


_KEYS = 1000
"""Objects that S3 deletes at a time."""
_IN_TURN = TransferConfig(use_threads=False)
"""A part at a time: ten threads for each file would hold eighty megabytes of it."""


class BucketContents:
    """Satisfies `Contents`. boto3's clients may be used by several threads at a time."""

    gather_s = _GATHER_S

    def __init__(self, url: str) -> None:
        """Nothing is asked yet; where the bucket is and who we are, boto3 finds out.

        Raises:
            UserError: this is no such address.
        """
        self._bucket, self._prefix, self._client = place_at(url)
        self._is_marked = False

    def mark(self) -> str:
        """Contents: what tells this place from others."""
        if not self._is_marked:
            self._put_mark()
        mark = checked_mark(b"".join(self.read(MARK)))
        self._is_marked = True
        return mark

    def _put_mark(self) -> None:
        with self._told():
            try:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=self._prefix + MARK,
                    Body=secrets.token_hex(8).encode(),
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                    raise

    def put(self, name: str, source: BinaryIO) -> int:
        """Contents: keep what `source` holds, in parts if it is large."""
        counted = _Counted(source)
        with self._told():
            self._client.upload_fileobj(
                counted, self._bucket, self._prefix + name, Config=_IN_TURN
            )
        return counted.size

    def read(self, name: str) -> Iterator[bytes]:
        """Contents: yield what is kept."""
        with self._told():
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            yield from answer["Body"].iter_chunks(PIECE)

    def borrow(self, name: str, place: Path) -> Path:
        """Contents: fetch it, for what is read over hours needs no connection."""
        with self._told():
            try:
                self._client.download_file(
                    self._bucket, self._prefix + name, str(place), Config=_IN_TURN
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
                    raise
            else:
                return place
        self.mark()  # a bucket that is not there has no objects, either
        raise Missing(f"{name} is not there any more")

    def append(self, folder: str, part: str, number: int, data: bytes) -> None:
        """Contents: an object of its own, for S3 appends nothing."""
        key = f"{self._prefix}{folder}/{part}-{number:08d}"
        with self._told():
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def parts(self, folder: str) -> list[str]:
        """Contents: what was appended."""
        found = []
        with self._told():
            pages = self._client.get_paginator("list_objects_v2")
            below = f"{self._prefix}{folder}/"
            for page in pages.paginate(Bucket=self._bucket, Prefix=below):
                found += [each["Key"][len(self._prefix) :] for each in page.get("Contents", ())]
        return sorted(found)

    def folders(self, below: str) -> list[str]:
        """Contents: the folders, and not what is in them: a few requests for many batches."""
        found, start = list[str](), f"{self._prefix}{below}/"
        with self._told():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=start, Delimiter="/"):
                rows = page.get("CommonPrefixes", ())
                found += [row["Prefix"][len(start) :].rstrip("/") for row in rows]
        return found

    def remove(self, name: str) -> None:
        """Contents: forget a file."""
        with self._told():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def clear(self, folder: str) -> None:
        """Contents: forget a folder."""
        keys = [{"Key": self._prefix + name} for name in self.parts(folder)]
        with self._told():
            for at in range(0, len(keys), _KEYS):
                asked = {"Objects": keys[at : at + _KEYS], "Quiet": True}
                answer = self._client.delete_objects(Bucket=self._bucket, Delete=asked)
                for error in answer.get("Errors", ()):
                    raise OSError(f"{error.get('Key')}: {error.get('Code')}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, OSError, boto3.exceptions.Boto3Error) as error:
            raise unavailable(self._bucket, error) from None


class _Counted:
    """Counts what is read through it."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.size += len(data)
        return data
