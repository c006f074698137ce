"""The shared store over a real server: what is in it, and what happens when it is not there."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from tests.fakes.valkey import Valkey, valkey

from penstock.ground import metrics
from penstock.ground.errors import UserError
from penstock.registry.cache.stored import Stored
from penstock.registry.cache.valkey import ValkeyStore

ONE, TWO = b"1" * 32, b"2" * 32


@pytest.fixture
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


def store_of(server: Valkey, clock: float | None = None) -> ValkeyStore:
    def frozen() -> float:
        return clock or 0.0

    ticking = frozen if clock is not None else time.monotonic
    return ValkeyStore(server.url, "here", clock=ticking, timeout_s=30.0)


def answer(seconds: float = 60.0) -> Stored:
    now_s = time.time()
    return Stored(now_s, now_s + seconds, 7, 3, b'{"said": "the answer"}')


async def test_gateways_share_what_is_kept_and_the_server_cannot_read_it(server: Valkey) -> None:
    one, two = store_of(server), store_of(server)
    kept = answer()
    await one.put(ONE, kept)
    assert await two.get(ONE) == kept
    assert await two.get(TWO) is None
    client: Any = Redis.from_url(server.url)
    (name,) = client.keys()
    held = client.get(name)
    assert 0 < client.ttl(name) <= 60
    assert b"answer" not in held
    assert ONE.hex().encode() not in name
    # Moved under the name of another question, it cannot be opened.
    other = one._name(TWO)
    client.set(other, held)
    assert await one.get(TWO) is None
    client.set(name, held[:-1] + bytes([held[-1] ^ 1]))
    assert await one.get(ONE) is None
    client.set(name, b"")
    assert await one.get(ONE) is None
    client.close()
    await asyncio.gather(one.close(), two.close())


async def test_an_answer_ends(server: Valkey) -> None:
    store = store_of(server)
    await store.put(ONE, answer(0.05))
    await store.put(TWO, answer(-1))
    await asyncio.sleep(0.06)
    assert await store.get(ONE) is None
    assert await store.get(TWO) is None
    await store.close()


async def test_the_server_says_when_an_answer_ends_not_who_kept_it(server: Valkey) -> None:
    """It was kept by a gateway whose clock is an hour behind, or ahead."""
    store = store_of(server)
    client: Any = Redis.from_url(server.url)
    for ahead_s in (-3600.0, 3600.0):
        now_s = time.time() + ahead_s
        kept = Stored(now_s, now_s + 60, 7, 3, b"{}")
        await store.put(ONE, kept)
        assert await store.get(ONE) == kept
        assert 0 < client.pttl(store._name(ONE)) <= 60_000
        await store.put(ONE, Stored(now_s, now_s + 0.05, 7, 3, b"{}"))
        await asyncio.sleep(0.06)
        assert await store.get(ONE) is None
    client.close()
    await store.close()


async def test_a_server_that_is_away_is_a_miss_and_is_left_alone(server: Valkey) -> None:
    store = store_of(server, clock=100.0)
    await store.put(ONE, answer())
    server.kill()
    assert await store.get(ONE) is None
    assert await store.get(ONE) is None
    await store.put(ONE, answer())
    assert dict(store.levels())[metrics.CACHE_FAILURES] == 1
    await store.close()


def test_an_address_must_be_one() -> None:
    with pytest.raises(UserError, match="no URL"):
        ValkeyStore("nonsense", "here", clock=time.monotonic)
