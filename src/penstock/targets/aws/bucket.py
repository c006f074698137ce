"""The deployment's bucket in S3: what lies there, what is put there, and emptying it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from penstock.ground.errors import CloudError
from penstock.plan.carrying_out import Tell
from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors, code_of
from penstock.targets.aws.stack import Upload

ABSENT = {"404", "NoSuchKey", "NotFound", "NoSuchBucket"}


class Bucket:
    """A bucket that one of our stacks made."""

    def __init__(self, account: Account, name: str) -> None:
        self.name = name
        self._client: Any = account.client("s3")

    def has(self, key: str) -> bool:
        """Whether an object lies at `key`."""
        with aws_errors("S3"):
            try:
                self._client.head_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return False
                raise
        return True

    def put(self, upload: Upload, tell: Tell) -> None:
        """Upload a file; large ones go in pieces, and appear as a whole or not at all."""
        content = upload.content
        with aws_errors("S3"):
            try:
                if isinstance(content, Path):
                    self._client.upload_file(str(content), self.name, upload.key)
                    size = content.stat().st_size
                else:
                    body = content()
                    self._client.put_object(Bucket=self.name, Key=upload.key, Body=body)
                    size = len(body)
            except S3UploadFailedError as error:
                raise CloudError(f"{upload.key} could not be uploaded", why=str(error)) from error
        tell(f"s3://{self.name}/{upload.key}: {size / 1e6:.1f} MB")

    def write(self, key: str, body: bytes) -> None:
        """Put an object there."""
        with aws_errors("S3"):
            self._client.put_object(Bucket=self.name, Key=key, Body=body)

    def read(self, key: str) -> bytes | None:
        """What lies at `key`; none where nothing does."""
        with aws_errors("S3"):
            try:
                answer = self._client.get_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return None
                raise
            with closing(answer["Body"]) as opened:
                return bytes(opened.read())

    def is_empty(self) -> bool:
        """Whether nothing lies in it, not even an older version."""
        return next(self._everything(), None) is None

    def empty(self) -> int:
        """Delete every object with all its versions; returns how many there were."""
        count = 0
        while batch := self._batch():
            with aws_errors("S3"):
                told = self._client.delete_objects(
                    Bucket=self.name, Delete={"Objects": batch, "Quiet": True}
                )
            if failed := told.get("Errors"):
                first = failed[0]
                raise CloudError(
                    f"{first['Key']} cannot be deleted from {self.name}",
                    why=f"{first['Code']}: {first.get('Message', '')}",
                    fix="Where a retention protects it, wait for its end, then destroy again",
                )
            count += len(batch)
        return count

    def _batch(self) -> list[dict[str, str]]:
        return [each for each, _ in zip(self._everything(), range(1000), strict=False)]

    def _everything(self) -> Iterator[dict[str, str]]:
        """Key and version of everything; nothing where the bucket is gone."""
        with aws_errors("S3"):
            try:
                pages = self._client.get_paginator("list_object_versions").paginate(
                    Bucket=self.name
                )
                for page in pages:
                    for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                        yield {"Key": each["Key"], "VersionId": each["VersionId"]}
            except ClientError as error:
                if code_of(error) != "NoSuchBucket":
                    raise
