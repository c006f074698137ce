"""The store in memory: bounds, age, order of leaving."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.ground import metrics
from penstock.ground.clock import FakeClock
from penstock.registry.cache.memory import MemoryStore
from penstock.registry.cache.stored import Stored


def answer(size: int = 10, ends_s: float = 2000.0) -> Stored:
    return Stored(1000.0, ends_s, 7, 3, b"x" * size)


def test_an_answer_lives_until_its_time_is_over() -> None:
    clock = FakeClock(1000.0)
    store = MemoryStore(10, 10**6, clock=clock)
    store.keep(b"a", answer(ends_s=1010.0))
    clock.now_s = 1009.9
    assert store.find(b"a") is not None
    clock.now_s = 1010.0
    assert store.find(b"a") is None
    assert len(store) == 0
    assert store.size_bytes == 0


def test_the_least_recently_used_leaves_first() -> None:
    store = MemoryStore(2, 10**6, clock=FakeClock(1000.0))
    for key in (b"a", b"b"):
        store.keep(key, answer())
    store.find(b"a")
    store.keep(b"c", answer())
    assert store.find(b"b") is None
    assert store.find(b"a") is not None
    assert dict(store.levels())[metrics.CACHE_EVICTED] == 1


def test_what_is_larger_than_all_room_is_not_kept() -> None:
    store = MemoryStore(10, 2000, clock=FakeClock(1000.0))
    store.keep(b"a", answer(100))
    store.keep(b"b", answer(5000))
    assert store.find(b"a") is not None
    assert store.find(b"b") is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3000)), max_size=60))
def test_the_bounds_hold_and_the_count_is_right(puts: list[tuple[int, int]]) -> None:
    store = MemoryStore(5, 6000, clock=FakeClock(1000.0))
    for number, size in puts:
        store.keep(b"%d" % number, answer(size))
        assert len(store) <= 5
        assert store.size_bytes <= 6000
        kept = [found for each in range(10) if (found := store.find(b"%d" % each))]
        assert store.size_bytes == sum(len(found.body) + 512 for found in kept)
