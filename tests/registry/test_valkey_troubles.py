"""A server that was the primary: why it cannot be used, and that its connections are let go."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoScriptError, ResponseError
from tests.fakes.valkey import Valkey, valkey

from penstock.ground.errors import StoreUnavailable
from penstock.registry.cache.stored import Stored
from penstock.registry.cache.valkey import ValkeyStore
from penstock.registry.counters.slices import Report, Terms
from penstock.registry.counters.valkey import ValkeyServer
from penstock.registry.valkey_troubles import reason_of

REPORT = Report("a", Terms(10, 1.0), 0, 0, 0, 0, 1, 0, 0, -1.0, -1, 0, 1)


@pytest.fixture
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.fixture
def operator(server: Valkey) -> Iterator[Any]:
    client = Redis.from_url(server.url, decode_responses=True)
    yield client
    client.close()


def others(operator: Any) -> set[str]:
    """The connections of everybody else."""
    own = str(operator.client_id())
    return {one["id"] for one in operator.client_list() if one["id"] != own}


async def test_the_counters_come_back_after_a_fail_over(server: Valkey, operator: Any) -> None:
    counters = ValkeyServer(server.url, "here", timeout_s=10.0)
    assert (await counters.exchange("one", 3.0, 1, [REPORT])).replicas == 1
    before = others(operator)
    operator.replicaof("127.0.0.1", 1)
    with pytest.raises(StoreUnavailable, match="it is a replica, which can only be read"):
        await counters.exchange("one", 3.0, 2, [REPORT])
    operator.replicaof("NO", "ONE")
    assert (await counters.exchange("one", 3.0, 3, [REPORT])).replicas == 1
    assert not before & others(operator)
    await counters.close()


async def test_the_cache_comes_back_after_a_fail_over(
    server: Valkey, operator: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = ValkeyStore(server.url, "here", clock=time.monotonic, timeout_s=10.0)
    now_s = time.time()
    kept = Stored(now_s, now_s + 60, 1, 1, b"{}")
    await store.put(b"1" * 32, kept)
    before = others(operator)
    operator.replicaof("127.0.0.1", 1)
    await store.put(b"2" * 32, kept)
    assert store.failures == 1
    assert "it is a replica, which can only be read" in caplog.text
    operator.replicaof("NO", "ONE")
    assert not before & others(operator)
    await store.close()


async def test_a_full_server_and_a_wrong_password(server: Valkey, operator: Any) -> None:
    counters = ValkeyServer(server.url, "here", timeout_s=10.0)
    operator.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="its memory is full"):
        await counters.exchange("one", 3.0, 1, [REPORT])
    await counters.close()
    operator.config_set("requirepass", "hush")
    stranger = ValkeyServer(server.url.replace("//", "//:guess@"), "here", timeout_s=10.0)
    with pytest.raises(StoreUnavailable, match="does not accept this user or password") as refused:
        await stranger.exchange("one", 3.0, 1, [REPORT])
    assert "guess" not in str(refused.value)
    await stranger.close()


def test_what_nobody_knows_is_told_by_its_kind() -> None:
    assert reason_of(NoScriptError("redis://:hush@h")) == "NoScriptError"
    assert reason_of(ResponseError("script: -READONLY no")).startswith("it is a replica")
    assert "hush" not in reason_of(AuthenticationError("hush"))
