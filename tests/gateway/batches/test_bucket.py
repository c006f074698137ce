"""Files in S3, as moto's server has them, over a real socket and a real boto3."""

import io
import secrets
from collections.abc import Iterator
from pathlib import Path

import boto3
import msgspec
import openai
import pytest
from moto.server import ThreadedMotoServer
from tests.fakes.counting_engine import CountingEngine
from tests.fakes.gateway_engine import wait_until
from tests.gateway.batches.batch_gateway import (
    batch_settings,
    check_ledger,
    line,
    rows,
    start,
    wait_for,
)
from tests.gateway.gateway_process import BOB, GatewayProcess
from tests.gateway.registry_gateway import entries_when

from penstock.gateway.settings import Settings
from penstock.ground.errors import StoreUnavailable, UserError
from penstock.registry.batches.bucket import BucketContents


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new bucket; moto keeps those of the whole run."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    client = boto3.client("s3")
    name = f"files-{secrets.token_hex(6)}"
    client.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    client.close()
    yield name
    server.stop()


def in_bucket(engine: CountingEngine, folder: Path, bucket: str) -> Settings:
    return batch_settings({"engine": engine.url}, folder, bucket=f"s3://{bucket}/below/")


def test_two_gateways_with_folders_of_their_own_share_a_bucket(
    bucket: str, engine: CountingEngine, tmp_path: Path
) -> None:
    """One is killed in mid-batch: the other has only what lies in S3, and that is enough."""
    engine.pause_s = 0.1
    engine.holds_after = 12
    settings = in_bucket(engine, tmp_path, bucket)
    assert settings.batches is not None
    own = msgspec.structs.replace(settings.batches, folder=str(tmp_path / "other"))
    lines = [line(f"q-{n}", "x" * 100) for n in range(60)]
    with GatewayProcess(settings) as one:
        batch_id = start(one.sdk(BOB), lines).id
        wait_until(lambda: engine.ended >= 12)
        one.process.kill()
        one.process.wait(60)
    assert len(engine.journal) < 60
    engine.holds_after = None
    with GatewayProcess(msgspec.structs.replace(settings, batches=own)) as other:
        client = other.sdk(BOB)
        done = wait_for(client, batch_id)
        assert rows(client, done.output_file_id).keys() == {f"q-{n}" for n in range(60)}
        told = entries_when(other, lambda found: engine.journal.keys() <= found.keys(), 30)
        check_ledger(told, engine)
        assert not engine.asked_twice
        s3 = boto3.client("s3")

        def held() -> set[str]:
            return {row["Key"] for row in s3.list_objects_v2(Bucket=bucket)["Contents"]}

        kept = {
            "below/penstock-files",
            f"below/files/{done.input_file_id}",
            f"below/files/{done.output_file_id}",
        }
        wait_until(lambda: held() == kept)  # what was gathered goes right behind the end
        client.files.delete(done.input_file_id)
        with pytest.raises(openai.NotFoundError):
            client.files.content(done.input_file_id)
        s3.close()


def test_what_is_kept_in_a_bucket_before_a_kill_is_not_asked_again(
    bucket: str, engine: CountingEngine, tmp_path: Path
) -> None:
    engine.pause_s = 0.2
    settings = in_bucket(engine, tmp_path, bucket)
    s3 = boto3.client("s3")
    with GatewayProcess(settings) as one:
        batch_id = start(one.sdk(BOB), [line(str(n)) for n in range(200)]).id
        parts = f"below/parts/{batch_id}"
        # The first object has no result in it: it shows that there can be some.
        wait_until(lambda: s3.list_objects_v2(Bucket=bucket, Prefix=parts)["KeyCount"] > 1)
        one.process.kill()
        one.process.wait(60)
    objects = s3.list_objects_v2(Bucket=bucket, Prefix=parts)["Contents"]
    text = b"".join(
        s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in objects
    )
    s3.close()
    kept = {str(msgspec.json.decode(each)["n"]) for each in text.splitlines() if each}
    assert kept
    with GatewayProcess(settings) as heir:
        client = heir.sdk(BOB)
        wait_for(client, batch_id, ["in_progress"])
        wait_until(lambda: any(name.count("-") > 1 for name in list(engine.journal)))
        client.batches.cancel(batch_id)
        done = wait_for(client, batch_id, ["cancelled"])
        assert len(rows(client, done.output_file_id)) >= len(kept)
    again = {name.split("-")[1] for name in list(engine.journal) if name.count("-") > 1}
    assert again
    assert not kept & again


def test_a_bucket_that_is_not_there_is_told(
    bucket: str, engine: CountingEngine, tmp_path: Path
) -> None:
    contents = BucketContents("s3://nobodys-files")
    for ask in (
        contents.mark,
        lambda: contents.put("files/x", io.BytesIO(b"x")),
        lambda: list(contents.read("files/x")),
        lambda: contents.borrow("files/x", tmp_path / "x"),
        lambda: contents.append("parts/x", "1", 1, b"x"),
        lambda: contents.parts("parts/x"),
    ):
        with pytest.raises(StoreUnavailable, match="nobodys-files"):
            ask()
    with pytest.raises(UserError):
        BucketContents("https://x")
    settings = in_bucket(engine, tmp_path, bucket)
    assert settings.batches is not None
    told = msgspec.structs.replace(settings.batches, bucket="s3://nobodys-files")
    with GatewayProcess(msgspec.structs.replace(settings, batches=told)) as gateway:
        answer = gateway.get("/v1/files", BOB)
        assert answer.status_code == 503
        assert "nobodys-files" in answer.text
        assert gateway.get("/v1/models", BOB).is_success
