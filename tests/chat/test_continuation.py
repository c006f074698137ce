"""Continuations: what is signed comes back, whatever else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from penstock.chat.continuation import (
    Approval,
    Continuations,
    Hidden,
    MemoryLedger,
    Pending,
    sealed_id,
    split_id,
)
from penstock.ground.clock import FakeClock
from penstock.ground.errors import RequestError

KEY = b"k" * 32


def continuations(
    scope: str = "org-a",
    holder: str = "key-1",
    *,
    key: bytes = KEY,
    wall: FakeClock | None = None,
    ledger: MemoryLedger | None = None,
) -> Continuations:
    wall = wall or FakeClock()
    return Continuations(
        key=key, scope=scope, holder=holder, ledger=ledger or MemoryLedger(wall), wall=wall
    )


HIDDEN = Hidden([Raw(b'{"role":"assistant"}'), Raw(b'{"role":"tool","content":"7"}')])


def test_what_is_sealed_comes_back() -> None:
    there = continuations()
    assert there.open(there.seal(HIDDEN)) == HIDDEN


@given(st.text(min_size=1).filter(lambda text: not text.startswith("pstk1.")))
def test_an_id_is_taken_apart_as_it_was_made(call_id: str) -> None:
    assert split_id(sealed_id(call_id, "abc-_")) == (call_id, "abc-_")
    assert split_id(sealed_id(call_id)) == (call_id, "")
    assert split_id(call_id) == (call_id, "")


@given(st.data())
def test_any_change_is_refused(data: st.DataObject) -> None:
    there = continuations()
    token = there.seal(HIDDEN)
    at = data.draw(st.integers(0, len(token) - 2))  # the last one holds bits that mean nothing
    other = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda letter: letter != token[at]))
    with pytest.raises(RequestError, match="cannot be read"):
        there.open(token[:at] + other + token[at + 1 :])


@pytest.mark.parametrize("token", ["", "A", "é", "AAAA", "%%%", "A" * 400])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(RequestError) as caught:
        continuations().open(token)
    assert caught.value.code == "invalid_continuation"


@pytest.mark.parametrize(
    "other", [continuations("org-b"), continuations("org-"), continuations(key=b"x" * 32)]
)
def test_another_tenant_or_key_cannot_open(other: Continuations) -> None:
    with pytest.raises(RequestError, match="another tenant"):
        other.open(continuations().seal(HIDDEN))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        continuations(key=b"short")


def test_the_key_is_not_shown() -> None:
    assert "kkk" not in repr(continuations())


def asked(there: Continuations) -> Approval:
    return there.approval((Pending("call_0", "pay", "{}"),))


async def test_an_approval_is_good_once() -> None:
    there = continuations()
    approval = asked(there)
    await there.redeem(approval)
    with pytest.raises(RequestError) as caught:
        await there.redeem(approval)
    assert caught.value.code == "approval_used"


async def test_an_approval_expires() -> None:
    wall = FakeClock()
    there = continuations(wall=wall)
    approval = asked(there)
    wall.advance(901)
    with pytest.raises(RequestError, match="expired"):
        await there.redeem(approval)


async def test_another_key_of_the_tenant_cannot_approve() -> None:
    wall = FakeClock()
    ledger = MemoryLedger(wall)
    approval = asked(continuations(wall=wall, ledger=ledger))
    with pytest.raises(RequestError) as caught:
        await continuations(holder="key-2", wall=wall, ledger=ledger).redeem(approval)
    assert caught.value.code == "approval_not_yours"


async def test_a_ledger_that_forgot_accepts_nothing_from_before() -> None:
    approval = asked(continuations())
    with pytest.raises(RequestError, match="restarted"):
        await continuations().redeem(approval)


async def test_a_full_ledger_refuses_until_old_entries_expire() -> None:
    wall = FakeClock()
    ledger = MemoryLedger(wall, most=2)
    assert await ledger.spend("a", 10)
    assert await ledger.spend("b", 10)
    assert not await ledger.spend("c", 10)
    wall.advance(11)
    assert await ledger.spend("c", 30)
    assert not await ledger.spend("c", 30)
