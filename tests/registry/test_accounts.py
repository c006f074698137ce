"""Tenants and keys in SQLite and PostgreSQL."""

import asyncio

import pytest

from penstock.ground.clock import FakeClock
from penstock.ground.errors import RequestError, StoreUnavailable, UserError
from penstock.registry.keys import digest_of
from penstock.registry.records import Budgets, KeyRecord, Limits, Policy, TenantRecord
from penstock.registry.stores.accounts import AccountStore
from penstock.registry.stores.database import Database

HOSTILE = (
    "'; DROP TABLE penstock_keys; --",
    '" OR 1=1 --',
    "Robert'); DELETE FROM penstock_tenants; --",
    "a\\' OR 'x'='x",
    "$1; SELECT pg_sleep(10)",
    "%s ? :name",
    "ünï ✓ 中文",
)


def key(number: int, tenant: str | None = "org-a", **more: object) -> KeyRecord:
    digest = digest_of(str(number).encode()).hex()
    return KeyRecord(f"key-{number}", digest, "ps-hint", tenant, **more)  # type: ignore[arg-type]


def tenant(name: str, **more: object) -> TenantRecord:
    return TenantRecord(name, **more)  # type: ignore[arg-type]


@pytest.fixture
def wall() -> FakeClock:
    return FakeClock(1000.0)


@pytest.fixture
def accounts(database: Database, wall: FakeClock) -> AccountStore:
    return AccountStore(database, wall)


async def test_nothing_changes_in_an_empty_store(accounts: AccountStore) -> None:
    assert (await accounts.changes_since(0)).version == 0


async def test_changes_come_once_and_alone(accounts: AccountStore) -> None:
    await accounts.add_tenant(tenant("org-a"))
    await accounts.add_keys([key(number) for number in range(1200)])
    first = await accounts.changes_since(0)
    assert len(first.keys) == 1200
    assert (await accounts.changes_since(first.version)).keys == ()
    await accounts.change_key("key-7", {"disabled": True})
    second = await accounts.changes_since(first.version)
    assert [changed.id for changed in second.keys] == ["key-7"]
    assert second.keys[0].disabled
    assert second.tenants == ()


async def test_what_is_stored_comes_back(accounts: AccountStore) -> None:
    policy = Policy(("m",), ("t",), Limits(burst=3), Budgets(usd_per_day=0.5, alarm=0.5))
    await accounts.add_tenant(tenant("org-a", policy=policy))
    await accounts.add_keys([key(1, label="it's", policy=policy, expires_s=5000.0)])
    assert (await accounts.tenants("org-a"))[0] == tenant("org-a", policy=policy, created_s=1000.0)
    assert (await accounts.keys(key_id="key-1"))[0] == key(
        1, label="it's", policy=policy, expires_s=5000.0, created_s=1000.0
    )


async def test_a_name_is_taken_once(accounts: AccountStore) -> None:
    await accounts.add_tenant(tenant("org-a"))
    with pytest.raises(RequestError, match="already"):
        await accounts.add_tenant(tenant("org-a"))


@pytest.mark.parametrize("text", HOSTILE)
async def test_names_are_only_names(accounts: AccountStore, text: str) -> None:
    await accounts.add_tenant(tenant(text))
    await accounts.add_keys([key(1, text, label=text)])
    assert [found.name for found in await accounts.tenants(text)] == [text]
    assert [found.label for found in await accounts.keys(tenant=text)] == [text]
    with pytest.raises(RequestError, match="no key"):
        await accounts.change_key(text, {"disabled": True})
    assert not (await accounts.keys(key_id="key-1"))[0].disabled


async def test_a_rotated_key_ends_after_its_overlap(
    accounts: AccountStore, wall: FakeClock
) -> None:
    await accounts.add_keys([key(1)])
    await accounts.rotate(key(1), key(2), overlap_s=60)
    old = (await accounts.keys(key_id="key-1"))[0]
    assert old.opens_at(1059.9)
    assert not old.opens_at(1060.0)
    assert (await accounts.keys(key_id="key-2"))[0].opens_at(1e9)


async def test_a_rotation_never_prolongs(accounts: AccountStore) -> None:
    await accounts.add_keys([key(1, expires_s=1010.0)])
    old = (await accounts.keys(key_id="key-1"))[0]
    await accounts.rotate(old, key(2), overlap_s=3600)
    assert (await accounts.keys(key_id="key-1"))[0].expires_s == 1010.0


async def test_a_new_manifest_replaces_the_old_one(accounts: AccountStore) -> None:
    given = [tenant("org-a", source="manifest"), tenant("org-b", source="manifest")]
    await accounts.add_tenant(tenant("by-hand"))
    await accounts.seed(given, [key(1, source="manifest")])
    await accounts.seed(given[:1], [key(2, source="manifest")])
    found = {one.name: one.disabled for one in await accounts.tenants()}
    assert found == {"by-hand": False, "org-a": False, "org-b": True}
    states = {one.id: one.opens_at(2000.0) for one in await accounts.keys()}
    assert states == {"key-1": False, "key-2": True}


async def test_stacks_over_one_database_leave_each_others_keys_alone(
    accounts: AccountStore,
) -> None:
    """Each makes keys at its start, and revokes those that it made before."""
    given = [tenant("org-a", source="manifest")]

    def made(number: int, stack: str) -> KeyRecord:
        return key(number, source="manifest", label=stack)

    await accounts.seed(given, [key(1, source="manifest")])  # as before there were labels
    await accounts.seed(given, [made(2, "here")], "here")
    await accounts.seed(given, [made(3, "there")], "there")
    await accounts.seed(given, [made(4, "here")], "here")
    await accounts.seed(given, [])
    states = {one.id: one.opens_at(2000.0) for one in await accounts.keys()}
    assert states == {"key-1": False, "key-2": False, "key-3": True, "key-4": True}


async def test_the_same_manifest_changes_nothing(accounts: AccountStore) -> None:
    given = [tenant("org-a", source="manifest")], [key(1, source="manifest")]
    await accounts.seed(*given)
    seen = (await accounts.changes_since(0)).version
    await accounts.seed(*given)
    again = await accounts.changes_since(seen)
    assert (again.tenants, again.keys) == ((), ())


async def test_a_revoked_key_of_the_manifest_stays_revoked(accounts: AccountStore) -> None:
    given = [tenant("org-a", source="manifest")], [key(1, source="manifest")]
    await accounts.seed(*given)
    await accounts.change_key("key-1", {"revoked_s": 1.0})
    await accounts.seed(*given)
    assert not (await accounts.keys(key_id="key-1"))[0].opens_at(1000.0)


async def test_changes_at_the_same_time_are_all_seen(accounts: AccountStore) -> None:
    seen = 0
    found: set[str] = set()

    async def watch() -> None:
        nonlocal seen
        while len(found) < 40:
            changes = await accounts.changes_since(seen)
            seen = changes.version
            found.update(one.id for one in changes.keys)

    makers = (accounts.add_keys([key(number)]) for number in range(40))
    async with asyncio.timeout(60):
        await asyncio.gather(watch(), *makers)


async def test_use_is_noted_without_a_change(accounts: AccountStore) -> None:
    await accounts.add_keys([key(1)])
    seen = (await accounts.changes_since(0)).version
    await accounts.note_used({"key-1": 1234.5})
    assert (await accounts.keys(key_id="key-1"))[0].last_used_s == 1234.5
    assert (await accounts.changes_since(seen)).keys == ()


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "http://x", "::not a url://"])
def test_other_databases_are_refused_without_showing_the_url(url: str) -> None:
    with pytest.raises(UserError) as refused:
        Database(url)
    assert "secret" not in str(refused.value)


async def test_a_database_that_is_not_there() -> None:
    gone = Database("postgresql://penstock:secret@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable) as failed:
        await gone.create()
    assert "secret" not in str(failed.value)
    await gone.close()
