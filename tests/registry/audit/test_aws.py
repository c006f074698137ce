"""S3 with object lock and KMS, as moto's server has them, over a real socket."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.registry.audit.audits import check, write_chain

from penstock.ground.errors import StoreUnavailable, UserError
from penstock.registry.audit.archivist import CHAINS
from penstock.registry.audit.bucket import Bucket
from penstock.registry.audit.kms import KmsKey
from penstock.registry.audit.reading import Chains, Keys
from penstock.registry.audit.shipping import Shipper
from penstock.registry.audit.verify import verify

SEGMENTS = (3, 2, 4)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        patch.setenv("AWS_ENDPOINT_URL", url)
        yield url
    server.stop()


@pytest.fixture
def s3(aws: str, request: pytest.FixtureRequest) -> Iterator[tuple[Any, str]]:
    """A client, and a new bucket with object lock."""
    client = boto3.client("s3")
    name = f"audit-{abs(hash(request.node.name)) % 10**9}"
    client.create_bucket(
        Bucket=name,
        ObjectLockEnabledForBucket=True,
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
    )
    yield client, name
    client.close()


def ended(root: Path, key: Any = None) -> Path:
    """A chain whose last segment is ended, too."""
    return write_chain(root, "one", (*SEGMENTS, 0), key)


def test_segments_are_shipped_locked_and_whole(s3: tuple[Any, str], tmp_path: Path) -> None:
    client, name = s3
    chain = ended(tmp_path)
    bucket = Bucket(f"s3://{name}/logs/audit", lock="compliance", lock_days=30)
    shipper = Shipper(tmp_path / CHAINS, bucket)
    assert len(shipper.waiting()) == 3
    shipper.ship()
    assert shipper.waiting() == []
    assert [path.suffix for path in sorted(chain.glob("0*"))] == [".open"]
    key = "logs/audit/one/00000002.jsonl"
    held = client.head_object(Bucket=name, Key=key)
    assert held["ObjectLockMode"] == "COMPLIANCE"
    days = (held["ObjectLockRetainUntilDate"] - held["LastModified"]).total_seconds() / 86_400
    assert 29 < days < 31
    report = verify(Chains(bucket), Keys(None))
    assert report.findings == []
    assert report.entries == 9
    version = held["VersionId"]
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(Bucket=name, Key=key, VersionId=version)


def test_what_is_altered_in_the_bucket_is_found(s3: tuple[Any, str], tmp_path: Path) -> None:
    client, name = s3
    ended(tmp_path)
    bucket = Bucket(f"s3://{name}")
    Shipper(tmp_path / CHAINS, bucket).ship()
    key = "one/00000002.jsonl"
    body = client.get_object(Bucket=name, Key=key)["Body"].read()
    client.put_object(Bucket=name, Key=key, Body=body.replace(b"alice", b"mable"))
    (finding, *_) = verify(Chains(bucket), Keys(None)).findings
    assert (finding.chain, finding.segment, finding.row) == ("one", 2, 2)


class Flaky:
    """A sink that is away for a while."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.got: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        if self.left:
            self.left -= 1
            raise StoreUnavailable("away")
        self.got[name] = data


def test_an_outage_loses_nothing(tmp_path: Path) -> None:
    ended(tmp_path)
    sink = Flaky(3)
    shipper = Shipper(tmp_path / CHAINS, sink, every_s=0.01)
    pauses = [0.01]
    for _ in range(3):
        pauses.append(shipper._attempt(pauses[-1]))
    assert pauses == sorted(pauses)
    assert pauses[-1] > 0.03
    assert len(shipper.waiting()) == 3
    assert shipper._attempt(pauses[-1]) == 0.01
    assert shipper.waiting() == []
    assert {name.partition("/")[2] for name in sink.got} == {
        "head.json",
        *(f"0000000{n}.jsonl" for n in (1, 2, 3)),
    }
    assert (shipper.failures, shipper.shipped) == (3, 3)


def test_a_bucket_that_is_not_there_is_told_without_our_keys(aws: str, tmp_path: Path) -> None:
    bucket = Bucket("s3://no-such-bucket/x")
    with pytest.raises(StoreUnavailable, match="no-such-bucket") as raised:
        bucket.put("a", b"b")
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(raised.value)
    with pytest.raises(StoreUnavailable):
        list(bucket.names())


@pytest.mark.parametrize("url", ["s3://", "http://x/y", "s3:/x"])
def test_an_address_must_be_one(url: str) -> None:
    with pytest.raises(UserError, match="no address in S3"):
        Bucket(url)


def test_kms_seals_and_opens(aws: str, tmp_path: Path) -> None:
    client = boto3.client("kms")
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    other = client.create_key()["KeyMetadata"]["KeyId"]
    client.close()
    key = KmsKey(key_id)
    chain = write_chain(tmp_path, "one", SEGMENTS, key)
    assert b"alice" not in b"".join(path.read_bytes() for path in chain.iterdir())
    report = check(tmp_path, KmsKey(other))  # the header names the key, so any reader will do
    assert report.findings == []
    assert report.opened == report.sealed == 9
    header = {"by": "kms", "id": key_id, "wrapped": "AAAA"}
    with pytest.raises((UserError, StoreUnavailable)):
        key.open(header)
    with pytest.raises(StoreUnavailable, match="data key"):
        KmsKey("alias/none").make()
