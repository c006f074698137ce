"""Consistent hashing with bounded load: balance, small moves, and who shares nothing."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.gateway.routing.prefix import key_of, prefix_of
from penstock.gateway.routing.ring import Ring, first_with_room, hash_of

NAMES = [f"engine-{number}" for number in range(1, 9)]
KEYS = [hash_of(b"key", b"%d" % number) for number in range(4000)]
names = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=9, unique=True)


@given(names, st.integers(0, 2**64 - 1))
def test_a_walk_visits_everybody_once(engines: list[str], key: int) -> None:
    assert sorted(Ring(engines).walk(key)) == list(range(len(engines)))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 8), st.data())
def test_when_an_engine_leaves_only_its_keys_move(count: int, data: st.DataObject) -> None:
    engines = NAMES[:count]
    gone = data.draw(st.sampled_from(engines))
    rest = [name for name in engines if name != gone]
    before, after = Ring(engines), Ring(rest)
    for key in KEYS[:500]:
        was, is_ = engines[next(before.walk(key))], rest[next(after.walk(key))]
        assert was in (is_, gone)


def test_keys_are_spread() -> None:
    ring, found = Ring(NAMES), [0] * len(NAMES)
    for key in KEYS:
        found[next(ring.walk(key))] += 1
    mean = len(KEYS) / len(NAMES)
    assert max(found) < 1.5 * mean
    assert min(found) > 0.5 * mean


@settings(deadline=None)
@given(
    st.integers(1, 8),
    st.floats(1.0, 3.0),
    st.lists(st.integers(0, 3), min_size=1, max_size=200),
    st.sets(st.integers(0, 7)),
)
def test_nobody_has_more_than_the_bound(
    count: int, balance: float, popular: list[int], down: set[int]
) -> None:
    """Even where all prompts begin in one of four ways: load <= ceil(balance x mean)."""
    ring = Ring(NAMES[:count])
    loads: list[float | None] = [None if number in down else 0 for number in range(count)]
    alive = sum(load is not None for load in loads)
    for placed, way in enumerate(popular, 1):
        member = first_with_room(ring.walk(KEYS[way]), loads, balance)
        if member is None:
            assert not alive
            return
        load = loads[member]
        assert load is not None
        loads[member] = load + 1
        assert load + 1 <= math.ceil(balance * placed / alive)


def test_a_key_stays_where_there_is_room() -> None:
    ring = Ring(NAMES)
    for key in KEYS[:200]:
        home = next(ring.walk(key))
        loads: list[float | None] = [3.0] * len(NAMES)
        assert first_with_room(ring.walk(key), loads, 1.25) == home
        loads[home] = None
        other = first_with_room(ring.walk(key), loads, 1.25)
        assert other == list(ring.walk(key))[1]


def test_who_waits_for_a_trial_gets_it() -> None:
    assert first_with_room([0, 1], [5.0, -math.inf], 1.25) == 1


# Prefixes

SYSTEM = '{"role": "system", "content": "You answer for Acme. \\"assistant\\" is quoted."}'
FIRST = '{"role": "user", "content": "hi"}'


def _raw(*messages: str) -> bytes:
    return ("[" + ", ".join(messages) + "]").encode()


def test_a_conversation_keeps_its_prefix_while_it_grows() -> None:
    answer = '{"role": "assistant", "content": "hello"}'
    grown = [
        _raw(SYSTEM, FIRST),
        _raw(SYSTEM, FIRST, answer, '{"role": "user", "content": "and?"}'),
        _raw(SYSTEM, FIRST, answer, FIRST, answer, FIRST),
    ]
    assert len({prefix_of(raw, 1024) for raw in grown}) == 1
    assert b"Acme" in prefix_of(grown[0], 1024)


def test_prompts_that_begin_alike_go_together() -> None:
    long = '{"role": "system", "content": "' + "x" * 2000 + '"}'
    one, other = _raw(long, FIRST), _raw(long, '{"role": "user", "content": "else"}')
    assert prefix_of(one, 1024) == prefix_of(other, 1024)
    assert prefix_of(one, 4096) != prefix_of(other, 4096)


@given(st.binary(max_size=200), st.integers(1, 100))
def test_a_prefix_is_a_prefix(raw: bytes, size: int) -> None:
    prefix = prefix_of(raw, size)
    assert raw.startswith(prefix)
    assert len(prefix) <= size


@given(st.text(max_size=10), st.text(max_size=10), st.binary(max_size=30), st.binary(max_size=30))
def test_tenants_share_no_places(one: str, other: str, prefix: bytes, more: bytes) -> None:
    """Where the hash differs, placement says nothing: the parts cannot be shifted either."""
    assert key_of(one, "m", prefix) == key_of(one, "m", prefix)
    if one != other:
        assert key_of(one, "m", prefix) != key_of(other, "m", prefix)
    if other:
        assert key_of(one, other, prefix) != key_of(one + other, "", prefix)
    if more:
        assert key_of(one, "m", prefix) != key_of(one, "m", prefix + more)


def test_tenants_with_one_prompt_are_spread() -> None:
    ring = Ring(NAMES)
    homes = {next(ring.walk(key_of(f"tenant-{n}", "m", b"the same"))) for n in range(100)}
    assert homes == set(range(len(NAMES)))
