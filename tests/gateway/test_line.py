"""The fair queue: shares by weight, no place left free, nobody starves, waits that end."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.gateway.line import STEP_S, Bounds, Line, Place
from penstock.ground.clock import FakeClock
from penstock.ground.errors import LimitExceeded, Overloaded, PenstockError
from penstock.registry.records import Share

NORMAL = Share()
HIGH, LOW = Share(priority="high"), Share(priority="low")


class Asker:
    """One request; it remembers what it was told."""

    def __init__(self, room: "Room", tenant: str, work: int) -> None:
        self.room, self.tenant, self.work = room, tenant, work
        self.place: Place | None = None
        self.begun = False
        self.refused: PenstockError | None = None

    def begin(self) -> None:
        assert not self.begun
        assert self.refused is None
        self.begun = True
        self.room.served.append(self)

    def refuse(self, error: PenstockError) -> None:
        assert not self.begun
        self.refused = error

    def end(self) -> None:
        assert self.place is not None
        self.place.leave(0, self.work)


class Room:
    """A line with `places`, a clock that is told, and everybody who was served, in order."""

    def __init__(self, places: int = 1, wait_s: float = 30.0, most: int = 10_000) -> None:
        self.clock, self.places = FakeClock(100.0), places
        self.served: list[Asker] = []
        self.waited: list[tuple[str, float]] = []
        self.woken = False
        self.line = Line(
            lambda: self.places,
            Bounds(wait_s, most, most),
            clock=self.clock,
            wake=self._wake,
            on_wait=lambda tenant, seconds: self.waited.append((tenant, seconds)),
        )

    def _wake(self) -> None:
        self.woken = True

    def ask(self, tenant: str, share: Share = NORMAL, work: int = 10) -> Asker:
        asker = Asker(self, tenant, work)
        asker.place = self.line.enter(tenant, share, work, asker)
        if not asker.place.is_waiting:
            asker.begin()
        return asker

    def end_first(self) -> None:
        """The longest served one ends, and the next is served."""
        running = [a for a in self.served if a.place is not None]
        running[0].end()
        running[0].place = None
        self.line.serve()


def test_a_flood_of_one_tenant_does_not_make_another_wait_for_it() -> None:
    room = Room(places=4)
    for _ in range(200):
        room.ask("flood")
    quiet = room.ask("quiet")
    room.end_first()
    assert quiet.begun


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_tenants_with_much_to_ask_are_served_by_weight(weight: float) -> None:
    room = Room(places=2)
    for _ in range(400):
        room.ask("a", Share(weight), work=10)
        room.ask("b", work=10)
    for _ in range(200):
        room.end_first()
    counts = Counter(asker.tenant for asker in room.served)
    assert counts["a"] / counts["b"] == pytest.approx(weight, rel=0.05)


def test_work_counts_and_not_requests() -> None:
    room = Room()
    for _ in range(300):
        room.ask("long", work=90)
        room.ask("short", work=30)
    for _ in range(200):
        room.end_first()
    counts = Counter(asker.tenant for asker in room.served)
    assert counts["short"] / counts["long"] == pytest.approx(3, rel=0.05)


def test_what_was_used_counts_and_not_what_was_said() -> None:
    """`liar` says ten and uses ninety; the next ones wait for that."""
    room = Room()
    for _ in range(300):
        liar = room.ask("liar", work=10)
        liar.work = 90
        room.ask("honest", work=90)
    for _ in range(200):
        room.end_first()
    counts = Counter(asker.tenant for asker in room.served)
    assert counts["liar"] / counts["honest"] == pytest.approx(1, rel=0.05)


def test_who_asked_for_nothing_has_saved_nothing_up() -> None:
    room = Room()
    for _ in range(300):
        room.ask("busy")
    for _ in range(100):
        room.end_first()
    for _ in range(100):
        room.ask("late")
    begun = len(room.served)
    for _ in range(100):
        room.end_first()
    counts = Counter(asker.tenant for asker in room.served[begun:])
    assert abs(counts["busy"] - counts["late"]) <= 2


def test_higher_classes_come_first_and_the_lowest_is_not_left_out() -> None:
    room = Room()
    room.ask("x")
    lows = [room.ask("low", LOW) for _ in range(50)]
    seconds = 20
    for _ in range(seconds * 10):
        room.ask("high", HIGH)
        room.clock.advance(0.1)
        room.end_first()
    served = sum(low.begun for low in lows)
    assert seconds / (2 * STEP_S) - 2 <= served <= seconds / (2 * STEP_S) + 1
    room.ask("normal")
    room.end_first()
    assert room.served[-1].tenant == "high"


def test_a_wait_has_an_end() -> None:
    room = Room(wait_s=30.0)
    room.ask("a")
    first = room.ask("a")
    room.clock.advance(20)
    second = room.ask("b")
    room.clock.advance(10)
    room.line.expire()
    assert isinstance(first.refused, Overloaded)
    assert first.refused.retry_after_s > 0
    assert second.refused is None
    assert room.waited == [("a", 30.0)]
    room.end_first()
    assert second.begun


def test_so_many_may_wait_and_no_more() -> None:
    room = Room(most=3)
    for _ in range(4):
        room.ask("a")
    with pytest.raises(LimitExceeded, match="tenant a has too many requests waiting"):
        room.ask("a")
    with pytest.raises(Overloaded, match="too many requests are waiting"):
        room.ask("b")
    assert room.line.waiting == 3


def test_more_engines_are_more_places() -> None:
    room = Room()
    askers = [room.ask("a") for _ in range(5)]
    room.places = 3
    room.line.serve()
    assert [asker.begun for asker in askers] == [True] * 3 + [False] * 2


@settings(deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=2, max_size=4),
    works=st.lists(st.integers(1, 100), min_size=40, max_size=40),
    places=st.integers(1, 4),
)
def test_shares_differ_by_no_more_than_a_request_of_each(
    weights: list[float], works: list[int], places: int
) -> None:
    """Over any stretch in which all of them have somebody waiting."""
    room = Room(places)
    for number in range(5 * len(works)):
        for tenant, weight in enumerate(weights):
            room.ask(str(tenant), Share(weight), works[(number + tenant) % len(works)])
    begun = len(room.served)
    used = dict.fromkeys(map(str, range(len(weights))), 0.0)
    history = [used.copy()]
    for _ in range(60):
        room.end_first()
        last = room.served[-1]
        used[last.tenant] += last.work / weights[int(last.tenant)]
        history.append(used.copy())
    assert len(room.served) == begun + 60
    largest = [max(works) / weight for weight in weights]
    for one in range(len(weights)):
        for other in range(one):
            bound = 2 * (largest[one] + largest[other]) + 1e-6
            gaps = [each[str(one)] - each[str(other)] for each in history]
            assert max(gaps) - min(gaps) <= bound


class Rooms(RuleBasedStateMachine):
    """Requests that come, end, leave and give up in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(places=2, wait_s=5.0)
        self.askers: list[Asker] = []

    def _running(self) -> list[Asker]:
        return [asker for asker in self.askers if asker.begun]

    def _waiting(self) -> list[Asker]:
        return [asker for asker in self.askers if not asker.begun]

    @rule(
        tenant=st.sampled_from("abc"),
        share=st.sampled_from([NORMAL, HIGH, LOW, Share(3.0)]),
        work=st.integers(1, 50),
    )
    def ask(self, tenant: str, share: Share, work: int) -> None:
        self.askers.append(self.room.ask(tenant, share, work))

    @precondition(lambda self: self._running())
    @rule(which=st.integers(0, 9), used=st.integers(0, 99))
    def end(self, which: int, used: int) -> None:
        running = self._running()
        asker = running[which % len(running)]
        asker.work = used
        asker.end()
        asker.end()
        self.askers.remove(asker)
        assert self.room.woken or not self.room.line.waiting
        self.room.line.serve()

    @precondition(lambda self: self._waiting())
    @rule(which=st.integers(0, 9))
    def leave(self, which: int) -> None:
        waiting = self._waiting()
        asker = waiting[which % len(waiting)]
        asker.end()
        self.askers.remove(asker)

    @rule(seconds=st.floats(0, 4), places=st.integers(0, 4))
    def pass_time(self, seconds: float, places: int) -> None:
        self.room.clock.advance(seconds)
        self.room.places = places
        self.room.line.expire()
        self.room.line.serve()
        self.askers = [asker for asker in self.askers if asker.refused is None]

    @invariant()
    def every_place_is_known(self) -> None:
        line = self.room.line
        assert line.running == len(self._running())
        assert line.waiting == len(self._waiting()) == sum(n for _, n in line.lengths())

    @invariant()
    def no_place_is_free_while_somebody_waits(self) -> None:
        assert not self.room.line.waiting or self.room.line.running >= self.room.places

    @invariant()
    def nobody_waits_too_long(self) -> None:
        now_s = self.room.clock()
        for asker in self._waiting():
            assert asker.place is not None
            assert now_s - asker.place.since_s < 5.0 + 1e-9

    def teardown(self) -> None:
        """Everybody is served in the end, and nothing is left."""
        self.room.places = 1
        self.room.line.serve()
        while self.askers:
            asker = self._running()[0]
            asker.end()
            self.askers.remove(asker)
            self.room.line.serve()
        assert self.room.line.running == self.room.line.waiting == 0


Rooms.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_rooms = Rooms.TestCase
