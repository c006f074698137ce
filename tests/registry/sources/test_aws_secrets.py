"""Keys from AWS Secrets Manager: the real boto3 over a real socket, with moto behind it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from penstock.ground.clock import FakeClock
from penstock.registry.keys import digest_of
from penstock.registry.records import KeyRecord
from penstock.registry.sources.aws_secrets import AwsSecrets, keys_in, make_client
from penstock.registry.sources.health import SourceHealth
from penstock.registry.stores.changes import Changes

PREFIX = "penstock/tenants/"
ONE, TWO, THREE = (f"key-number-{number}-of-org-a" for number in (1, 2, 3))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def aws(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    client = boto3.client("secretsmanager", region_name="eu-west-1", endpoint_url=server)
    yield client
    for secret in client.list_secrets()["SecretList"]:
        client.delete_secret(SecretId=secret["Name"], ForceDeleteWithoutRecovery=True)
    client.close()


class Told:
    """What a gateway has learnt: keys that open now, by secret."""

    def __init__(self) -> None:
        self.records: dict[str, KeyRecord] = {}
        self.count = 0

    def learn(self, changes: Changes) -> None:
        self.count += len(changes.keys)
        for record in changes.keys:
            self.records[record.digest] = record

    def opens(self, key: str, at_s: float) -> str | None:
        record = self.records.get(digest_of(key.encode()).hex())
        return record.tenant if record is not None and record.opens_at(at_s) else None


class Source:
    """A source, what it told, and its clock."""

    def __init__(self, server: str) -> None:
        self.told, self.wall = Told(), FakeClock(time.time())
        self.health = SourceHealth("aws", FakeClock(0.0))
        self.client: Any = make_client("eu-west-1", server)
        self.secrets = AwsSecrets(
            self.client, PREFIX, self.told.learn, self.wall, self.health, overlap_s=300
        )

    def opens(self, key: str) -> str | None:
        return self.told.opens(key, self.wall())


@pytest.fixture
def source(server: str, aws: Any) -> Iterator[Source]:
    made = Source(server)
    yield made
    made.client.close()


def create(aws: Any, tenant: str, text: str) -> None:
    aws.create_secret(Name=f"{PREFIX}{tenant}", SecretString=text)


async def test_every_form_of_a_secret_opens(aws: Any, source: Source) -> None:
    create(aws, "org-a", f"{ONE}\n")
    create(aws, "org-b", json.dumps({"api_key": TWO, "user": "x"}))
    create(aws, "org-c", json.dumps({"api_keys": [THREE, "another-key-of-org-c"]}))
    aws.create_secret(Name="elsewhere/org-d", SecretString="a-key-of-somebody-else")
    aws.create_secret(Name=f"{PREFIX}a/b", SecretString="a-key-of-no-tenant")
    await source.secrets.start()
    assert source.health.up
    keys = (
        ONE,
        TWO,
        THREE,
        "another-key-of-org-c",
        "a-key-of-somebody-else",
        "a-key-of-no-tenant",
    )
    assert [source.opens(key) for key in keys] == ["org-a", "org-b", "org-c", "org-c", None, None]
    record = source.told.records[digest_of(ONE.encode()).hex()]
    assert (record.source, record.hint) == ("aws", "")
    assert record.id.startswith("aws-")


async def test_a_rotation_is_taken_over_and_the_old_key_ends(aws: Any, source: Source) -> None:
    create(aws, "org-a", ONE)
    await source.secrets.refresh()
    aws.put_secret_value(SecretId=f"{PREFIX}org-a", SecretString=TWO)
    await source.secrets.refresh()
    assert (source.opens(ONE), source.opens(TWO)) == ("org-a", "org-a")
    source.wall.advance(
        320
    )  # five minutes, and it was made at a time of AWS's own, which went on meanwhile
    assert (source.opens(ONE), source.opens(TWO)) == (None, "org-a")
    await source.secrets.refresh()
    assert (source.opens(ONE), source.opens(TWO)) == (None, "org-a")


async def test_a_gateway_that_starts_after_a_rotation_agrees(
    aws: Any, source: Source, server: str
) -> None:
    create(aws, "org-a", ONE)
    aws.put_secret_value(SecretId=f"{PREFIX}org-a", SecretString=TWO)
    await source.secrets.refresh()
    assert (source.opens(ONE), source.opens(TWO)) == ("org-a", "org-a")
    late = Source(server)
    late.wall.advance(301)
    await late.secrets.refresh()
    assert (late.opens(ONE), late.opens(TWO)) == (None, "org-a")
    late.client.close()


async def test_a_deleted_secret_opens_nothing(aws: Any, source: Source) -> None:
    create(aws, "org-a", ONE)
    await source.secrets.refresh()
    aws.delete_secret(SecretId=f"{PREFIX}org-a", ForceDeleteWithoutRecovery=True)
    await source.secrets.refresh()
    assert source.opens(ONE) is None


async def test_nothing_new_is_neither_read_nor_told(aws: Any, source: Source) -> None:
    create(aws, "org-a", ONE)
    await source.secrets.refresh()
    read: list[str] = []
    source.client.meta.events.register(
        "before-call.secretsmanager.GetSecretValue", lambda **_: read.append("read")
    )
    told = source.told.count
    for _ in range(3):
        await source.secrets.refresh()
    assert (read, source.told.count) == ([], told)


async def test_a_secret_that_is_no_key_leaves_the_last_one(
    aws: Any, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    create(aws, "org-a", ONE)
    create(aws, "org-b", TWO)
    await source.secrets.refresh()
    aws.put_secret_value(SecretId=f"{PREFIX}org-a", SecretString="hush-hush")
    await source.secrets.refresh()
    await source.secrets.refresh()
    assert not source.health.up
    assert (source.opens(ONE), source.opens("hush-hush"), source.opens(TWO)) == (
        "org-a",
        None,
        "org-b",
    )
    assert "org-a" in caplog.text
    assert "hush" not in caplog.text
    aws.put_secret_value(SecretId=f"{PREFIX}org-a", SecretString=THREE)
    await source.secrets.refresh()
    assert source.opens(THREE) == "org-a"
    assert source.secrets.health.up


async def test_a_key_of_two_tenants_opens_neither(aws: Any, source: Source) -> None:
    create(aws, "org-a", ONE)
    create(aws, "org-b", json.dumps({"api_keys": [ONE, TWO]}))
    await source.secrets.refresh()
    assert (source.opens(ONE), source.opens(TWO)) == (None, "org-b")
    assert not source.health.up


async def test_while_aws_is_away_the_known_keys_stay(aws: Any, source: Source) -> None:
    create(aws, "org-a", ONE)
    await source.secrets.refresh()
    away = make_client("eu-west-1", "http://127.0.0.1:9")
    source.secrets.client = away
    await source.secrets.refresh()
    assert not source.health.up
    assert source.opens(ONE) == "org-a"


async def test_there_may_be_many_secrets(aws: Any, source: Source) -> None:
    for number in range(120):
        create(aws, f"org-{number}", f"key-number-{number}-of-many")
    await source.secrets.refresh()
    assert all(source.opens(f"key-number-{n}-of-many") == f"org-{n}" for n in range(120))


@given(text=st.one_of(st.none(), st.text(max_size=60), st.from_regex(r'\{"api_keys?": .{0,40}\}')))
def test_whatever_a_secret_holds_it_gives_sound_keys_or_none(text: str | None) -> None:
    try:
        found = keys_in(text)
    except ValueError:
        return
    assert found
    for key in found:
        assert len(key) >= 16
        assert key.isascii()
        assert key.isprintable()
        assert " " not in key
