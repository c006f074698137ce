"""Limits of several replicas over a real server: never more than they say, whatever happens."""

import asyncio
import itertools
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from redis import Redis
from tests.fakes.valkey import Valkey, valkey

from penstock.ground.clock import Clock, FakeClock
from penstock.ground.errors import StoreUnavailable, UserError
from penstock.registry.counters.exchange import Counters
from penstock.registry.counters.slices import Answer, Empty, Report, Slice, Terms
from penstock.registry.counters.valkey import ValkeyServer
from penstock.registry.records import Limits
from penstock.registry.shared_gate import SharedGate

T = TypeVar("T")
NEVER = 1e-9
"""A flow that brings nothing while a test runs."""
_spaces = itertools.count(1)


@pytest.fixture(scope="module")
def _server() -> Iterator[Valkey]:
    with valkey() as server:
        yield server


@pytest.fixture
def server(_server: Valkey) -> Valkey:
    if not _server.runs:
        _server.start()
    return _server


class Line(ValkeyServer):
    """A connection that loses questions or answers when it is told to."""

    loses = ""

    async def exchange(
        self, replica: str, lease_s: float, number: int, reports: Sequence[Report]
    ) -> Answer:
        if self.loses == "question":
            raise StoreUnavailable("lost")
        answer = await super().exchange(replica, lease_s, number, reports)
        if self.loses == "answer":
            raise StoreUnavailable("lost")
        return answer


class Replica:
    """One gateway's part; it is driven by hand."""

    def __init__(
        self, url: str, space: str, *, clock: Clock = time.monotonic, lease_s: float = 60.0
    ) -> None:
        self.line = Line(url, space, timeout_s=30.0)  # only what a test loses is lost
        name = f"replica-{next(_spaces)}"
        self.counters = Counters(self.line, name, clock=clock, wall=time.time, lease_s=lease_s)
        self.pieces: dict[str, Slice] = {}
        self.running = 0

    def piece(self, key: str, terms: Terms) -> Slice:
        if key not in self.pieces:
            places = (lambda: self.running) if terms.rate == 0 else None
            self.pieces[key] = Slice(key, terms, self.counters, places)
        return self.pieces[key]

    async def take(self, key: str, terms: Terms, amount: int = 1) -> float:
        """Take as a gateway does: at once, or after the server was asked."""
        piece = self.piece(key, terms)
        for _ in range(5):
            try:
                if terms.rate:
                    return piece.take(amount)
                wait_s = piece.place(self.running)
                self.running += not wait_s
                return wait_s
            except Empty as empty:
                asking = asyncio.create_task(empty.ask())
                await asyncio.sleep(0)
                await self.counters.serve()
                await asking
        raise AssertionError("it never became clear")

    async def take_all(self, key: str, terms: Terms) -> int:
        """Take until there is no more; return how many were got."""
        got = 0
        while await self.take(key, terms) == 0.0:
            got += 1
        return got


@pytest.fixture(autouse=True)
def _over(server: Valkey) -> None:
    Replicas.url = server.url


@pytest.fixture
def space() -> str:
    return f"test-{next(_spaces)}"


async def test_one_limit_holds_for_all(server: Valkey, space: str) -> None:
    terms = Terms(100, NEVER)
    replicas = [Replica(server.url, space) for _ in range(3)]
    got = [0, 0, 0]
    for number in range(150):
        got[number % 3] += await replicas[number % 3].take("a", terms) == 0.0
        if number % 7 == 0:
            await replicas[number % 2].counters.step()
    assert 100 - 2 * 12 <= sum(got) <= 100
    await asyncio.gather(*(replica.counters.stop() for replica in replicas))
    last = Replica(server.url, space)
    assert sum(got) + await last.take_all("a", terms) == 100
    await last.counters.stop()


async def test_a_burst_that_was_over_at_the_look_keeps_its_places(
    server: Valkey, space: str
) -> None:
    replica = Replica(server.url, space)
    gate = SharedGate(replica.counters, space, Limits(concurrent_requests=100))
    asked: list[int] = []
    for _ in range(12):
        asked.append(0)
        while gate.running < 40:
            try:
                assert gate.enter(1) is None
            except Empty as empty:
                asked[-1] += 1
                asking = asyncio.create_task(empty.ask())
                await asyncio.sleep(0)
                await replica.counters.serve()
                await asking
        for _ in range(40):
            gate.leave(1, 1)
        await replica.counters.step()
    assert asked[0] > 0 == sum(asked[3:])
    for _ in range(30):  # nobody comes any more
        await replica.counters.step()
    other = Replica(server.url, space)
    assert await other.take_all(f"{space}:places", Terms(100, 0.0)) >= 97
    await asyncio.gather(replica.counters.stop(), other.counters.stop())


async def test_most_requests_ask_nobody(server: Valkey, space: str) -> None:
    replica, terms = Replica(server.url, space), Terms(100_000, 1e5)
    asked = 0
    for number in range(5000):
        try:
            replica.piece("a", terms).take(1)
        except Empty:
            asked += 1
            await replica.take("a", terms)
        if number % 100 == 0:
            await replica.counters.step()
    assert asked < 50
    await replica.counters.stop()


async def test_a_burst_and_then_the_rate(server: Valkey) -> None:
    """Three replicas whose clocks differ ask as much as they can for a second.

    A machine that stands still meanwhile lets fewer in, never more: the best of several counts.
    """
    best = 0
    for number in range(5):
        best = max(best, await asked_for_a_second(server, f"rate-{number}-{next(_spaces)}"))
        if best >= 0.8 * (50 + 200):
            break
    assert best >= 0.8 * (50 + 200)


async def asked_for_a_second(server: Valkey, space: str) -> int:
    terms = Terms(50, 200.0)
    clocks = [time.monotonic, lambda: time.monotonic() + 86_400.0 * 365, lambda: -1e6]
    replicas = [Replica(server.url, space, clock=clock) for clock in clocks]
    since_s, passed = time.monotonic(), 0
    while (now_s := time.monotonic()) < since_s + 1.0:
        for replica in replicas:
            passed += await replica.take("a", terms) == 0.0
            assert passed <= 50 + 200 * (time.monotonic() - since_s) + 1
        if int(now_s * 1000) % 100 < 3:
            await asyncio.gather(*(replica.counters.step() for replica in replicas))
    await asyncio.gather(*(replica.counters.stop() for replica in replicas))
    return passed


async def test_who_was_refused_asks_again_only_when_something_can_have_come(
    server: Valkey, space: str
) -> None:
    clock = FakeClock(10.0)
    replica, terms = Replica(server.url, space, clock=clock), Terms(2, 2.0)
    since_s = time.monotonic()
    assert 2 <= await replica.take_all("a", terms) <= 3 + 2 * (time.monotonic() - since_s)
    wait_s = replica.piece("a", terms).take(1)
    assert 0 < wait_s <= 0.5
    clock.advance(wait_s + 0.001)
    with pytest.raises(Empty):
        replica.piece("a", terms).take(1)
    await replica.counters.stop()


async def test_a_day_is_used_up_for_all(server: Valkey, space: str) -> None:
    terms = Terms(1000, 1000.0, per_day=20)
    one, two = Replica(server.url, space), Replica(server.url, space)
    got = [await each.take("a", terms) == 0.0 for _ in range(20) for each in (one, two)]
    assert 18 <= sum(got) <= 20
    await two.counters.stop()
    one.piece("a", terms).change(terms)  # forget how long was to be waited
    assert sum(got) + await one.take_all("a", terms) == 20
    one.piece("a", terms).change(terms)
    assert one.piece("a", terms).available_today == 0
    wait_s = await one.take("a", terms)
    assert wait_s == pytest.approx(86_400 - time.time() % 86_400, abs=5)
    await one.counters.stop()


async def test_tokens_are_put_right(server: Valkey, space: str) -> None:
    terms = Terms(1000, NEVER)
    one, two = Replica(server.url, space), Replica(server.url, space)
    assert await one.take("a", terms, 600) == 0.0
    one.piece("a", terms).put_back(500)
    await one.counters.step()
    await one.counters.stop()
    assert await two.take("a", terms, 901) > 0
    assert await two.take("a", terms, 900) == 0.0
    two.piece("a", terms).put_back(-300)
    await two.counters.stop()
    three = Replica(server.url, space)
    assert await three.take("a", terms, 1) > 0
    assert three.piece("a", terms).level == pytest.approx(-300, abs=1)
    await three.counters.stop()


async def test_idle_slices_go_back(server: Valkey, space: str) -> None:
    terms = Terms(100, NEVER)
    one, two = Replica(server.url, space), Replica(server.url, space)
    for _ in range(20):
        await one.take("a", terms)
    await one.counters.step()
    assert one.piece("a", terms).free > 0
    for _ in range(12):
        await one.counters.step()
    assert one.piece("a", terms).free == 0
    assert not one.counters._active
    assert await two.take_all("a", terms) == 80
    await one.counters.stop()
    await two.counters.stop()


@pytest.mark.parametrize("lost", ["question", "answer"])
@pytest.mark.parametrize("beats", range(9, 13))
async def test_what_is_given_back_is_not_lost_with_a_message(
    server: Valkey, space: str, lost: str, beats: int
) -> None:
    """Nor counted twice: the server has 60 of a day and 40 at once, whoever holds them."""
    limits = {"a": Terms(40, NEVER), "b": Terms(10**6, 1e6, per_day=60)}
    one, heir = Replica(server.url, space), Replica(server.url, space)
    for key, terms in limits.items():
        for _ in range(5):
            assert await one.take(key, terms) == 0.0
    for _ in range(beats):
        await one.counters.step()
    for one.line.loses in (lost, lost, ""):
        await one.counters.step()
    await one.counters.stop()
    assert [5 + await heir.take_all(key, terms) for key, terms in limits.items()] == [40, 60]
    await heir.counters.stop()


async def test_places_of_a_dead_replica_come_back(server: Valkey, space: str) -> None:
    terms = Terms(3, 0.0)
    dead, alive = Replica(server.url, space), Replica(server.url, space)
    assert [await dead.take("a", terms) == 0.0 for _ in range(3)] == [True] * 3
    assert await alive.take("a", terms) > 0
    dead.counters._lease_s = 0.3  # that of its last report
    await dead.counters.step()
    deadline = time.monotonic() + 60
    while await alive.take("a", terms) > 0:
        assert time.monotonic() < deadline
        alive.piece("a", terms).change(terms)
    await alive.counters.stop()
    await dead.line.close()


def set_back(server: Valkey, space: str, seconds: int) -> None:
    """As if the server's clock had been: what it has noted lies further in the future."""
    with Redis.from_url(server.url, decode_responses=True) as client:
        for name in client.keys(f"*{space}*"):
            if client.type(name) == "zset":
                for replica, ends_ms in client.zrange(name, 0, -1, withscores=True):
                    client.zadd(name, {replica: ends_ms + seconds * 1000})
                continue
            for replica, text in client.hgetall(name).items():
                first, time_ms, *rest = text.split()
                if not replica:
                    rest[0] = str(int(rest[0]) + seconds // 86_400)  # the day
                moved = (first, str(int(time_ms) + seconds * 1000), *rest)
                client.hset(name, replica, " ".join(moved))


async def test_the_dead_do_not_stay_where_the_server_s_clock_is_set_back(
    server: Valkey, space: str
) -> None:
    """By an hour, or by a fail-over to a server that is behind: no lease is longer than one."""
    terms = Terms(3, 0.0)
    dead, alive = Replica(server.url, space, lease_s=0.3), Replica(server.url, space, lease_s=0.3)
    assert [await dead.take("a", terms) == 0.0 for _ in range(2)] == [True] * 2
    assert await alive.take("a", terms) == 0.0
    set_back(server, space, 3600)
    deadline = time.monotonic() + 60
    while await alive.take("a", terms) > 0:
        assert time.monotonic() < deadline
        alive.piece("a", terms).change(terms)
        await asyncio.sleep(0.02)
    await alive.counters.step()
    assert alive.counters.replicas == 1
    await alive.counters.stop()
    await dead.line.close()


async def test_the_living_keep_what_they_hold_where_the_server_s_clock_is_set_forward(
    server: Valkey, space: str
) -> None:
    """Every lease has ended; who is there takes up its own again before anybody else gets it."""
    terms = Terms(3, 0.0)
    alive, heir = Replica(server.url, space), Replica(server.url, space)
    assert [await alive.take("a", terms) == 0.0 for _ in range(2)] == [True] * 2
    set_back(server, space, -3600)
    await alive.counters.step()
    assert [await heir.take("a", terms) == 0.0 for _ in range(2)] == [True, False]
    for replica in (alive, heir):
        await replica.counters.stop()


async def test_a_day_of_the_server_that_comes_again_is_not_used_again(
    server: Valkey, space: str
) -> None:
    terms = Terms(100, NEVER, per_day=20)
    replica = Replica(server.url, space)
    assert await replica.take_all("a", terms) == 20
    await replica.counters.step()
    set_back(server, space, 86_400)
    replica.piece("a", terms).change(terms)
    await replica.counters.step()
    assert await replica.take_all("a", terms) == 0
    await replica.counters.stop()


async def test_without_the_server_each_keeps_its_part(server: Valkey, space: str) -> None:
    terms, places = Terms(100, NEVER, per_day=10_000), Terms(9, 0.0)
    replicas = [Replica(server.url, space) for _ in range(3)]
    for replica in (*replicas, *replicas):
        await replica.counters.step()
    for replica in replicas:
        assert await replica.take("a", terms) == 0.0
    server.kill()
    for replica in replicas:
        await replica.counters.step()
        assert not replica.counters.online
    got = [await replica.take_all("a", terms) for replica in replicas]
    assert 97 - 3 * 12 <= sum(got) + 3 <= 100
    assert [await replica.take_all("b", places) for replica in replicas] == [3, 3, 3]
    server.start()
    for replica in replicas:
        replica.running = 0
        await replica.counters.step()
        assert replica.counters.online
    later = Replica(server.url, space)
    await later.take("a", terms)
    left = later.piece("a", terms).left
    assert 10_000 - sum(got) - 3 - 50 <= left <= 10_000 - sum(got) - 3
    for replica in (*replicas, later):
        await replica.counters.stop()


@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_flood_is_forgotten_when_the_bucket_has_filled_again(
    server: Valkey, space: str, comes_back: bool
) -> None:
    """What was last heard is an empty bucket; long afterwards the server is lost."""
    clock = FakeClock(10.0)
    replica, terms = Replica(server.url, space, clock=clock), Terms(20, 0.001)
    await replica.counters.start()
    assert await replica.take_all("a", terms) == 20
    for _ in range(15):
        await replica.counters.step()
    server.kill()
    if comes_back:
        server.start()
    else:
        await replica.counters.step()
    clock.advance(10_000)  # half of the bucket
    assert replica.counters.online is comes_back
    assert await replica.take_all("a", terms) == 10
    if not comes_back:
        server.start()
    await replica.counters.stop()


async def test_a_server_that_never_was_there(space: str) -> None:
    replica, terms = Replica("redis://127.0.0.1:1", space), Terms(5, NEVER)
    await replica.counters.start()
    assert not replica.counters.online
    assert await replica.take_all("a", terms) == 5
    await replica.counters.stop()


def test_an_address_that_is_none() -> None:
    with pytest.raises(UserError, match="no URL of a Valkey or Redis server"):
        ValkeyServer("http://x", "a")
    ValkeyServer("valkeys://x:6379", "a")


class Replicas(RuleBasedStateMachine):
    """Replicas that ask, report, lose messages, die; two limits with flow and one of places."""

    CAPACITY, PER_DAY, PLACES = 40, 60, 4
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.space = f"machine-{next(_spaces)}"
        self.clock = FakeClock(1.0)  # a refusal that is remembered must not depend on real time
        self.replicas = [self.new_replica() for _ in range(3)]
        self.requests = Terms(self.CAPACITY, NEVER)
        self.days = Terms(10**6, 1e6, self.PER_DAY)
        self.places = Terms(self.PLACES, 0.0)
        self.passed = self.today = self.lost = self.dead_places = 0

    def new_replica(self) -> Replica:
        return Replica(self.url, self.space, clock=self.clock)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @rule(which=st.integers(0, 2), many=st.integers(1, 12))
    def ask(self, which: int, many: int) -> None:
        for _ in range(many):
            self.passed += self.run(self.replicas[which].take("r", self.requests)) == 0.0

    @rule(which=st.integers(0, 2), many=st.integers(1, 12))
    def ask_of_the_day(self, which: int, many: int) -> None:
        for _ in range(many):
            self.today += self.run(self.replicas[which].take("d", self.days)) == 0.0

    @rule(which=st.integers(0, 2))
    def enter(self, which: int) -> None:
        self.run(self.replicas[which].take("p", self.places))

    @precondition(lambda self: any(replica.running for replica in self.replicas))
    @rule(which=st.integers(0, 2))
    def leave(self, which: int) -> None:
        replica = self.replicas[which]
        replica.running = max(0, replica.running - 1)

    @rule(which=st.integers(0, 2), beats=st.integers(1, 15))
    def report(self, which: int, beats: int) -> None:
        self.clock.advance(beats)
        for _ in range(beats):
            self.run(self.replicas[which].counters.step())

    @rule(which=st.integers(0, 2), what=st.sampled_from(["question", "answer"]))
    def lose(self, which: int, what: str) -> None:
        """A message is lost; the replica is back before it lets anybody in by itself."""
        replica = self.replicas[which]
        replica.line.loses = what
        self.run(replica.counters.step())
        replica.line.loses = ""
        self.run(replica.counters.step())

    @rule(which=st.integers(0, 2))
    def kill(self, which: int) -> None:
        dead = self.replicas[which]
        self.lost += self.CAPACITY // 4
        self.dead_places += dead.running
        self.run(dead.line.close())
        self.replicas[which] = self.new_replica()

    @invariant()
    def no_limit_is_passed(self) -> None:
        assert self.passed <= self.CAPACITY
        assert self.today <= self.PER_DAY
        assert self.dead_places + sum(r.running for r in self.replicas) <= self.PLACES

    def teardown(self) -> None:
        heir = self.new_replica()
        try:
            self.settle(heir)
        finally:
            for replica in (*self.replicas, heir):
                self.run(replica.line.close())
            self.loop.close()

    def settle(self, heir: Replica) -> None:
        """What was not used may be used, but for what the dead had in their slices."""
        for replica in self.replicas:
            replica.running = 0
            self.run(replica.counters.stop())
        self.clock.advance(10)
        passed = self.passed + self.run(heir.take_all("r", self.requests))
        today = self.today + self.run(heir.take_all("d", self.days))
        assert self.CAPACITY - self.lost <= passed <= self.CAPACITY
        assert self.PER_DAY - self.lost * 2 <= today <= self.PER_DAY
        self.run(heir.counters.stop())


Replicas.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


test_replicas = Replicas.TestCase
