"""Files and batches in SQLite and PostgreSQL: what happens at the same time, and what is over."""

import asyncio
from dataclasses import replace

import pytest

from penstock.ground.errors import LimitExceeded, PenstockError, RequestError
from penstock.registry.batches.records import BatchRecord, FileRecord, new_batch_id, new_file_id
from penstock.registry.stores.batches import BatchStore, Hold
from penstock.registry.stores.database import Database
from penstock.registry.stores.files import FIRST, Ending, FileStore
from penstock.registry.stores.pages import Page

NOW_S = 1_000_000.0
QUOTA = 1 << 30


def a_file(tenant: str = "org-a", size: int = 10, life_s: float = 5000.0) -> FileRecord:
    return FileRecord(
        new_file_id(), tenant, "in.jsonl", "batch", size, NOW_S, NOW_S + life_s, True
    )


def a_batch(file_id: str, tenant: str = "org-a", created_s: float = NOW_S) -> BatchRecord:
    return BatchRecord(
        new_batch_id(), tenant, "key", "00", "/v1/chat/completions", file_id, "validating",
        created_s, created_s + 86_400, 3600.0, "",
    )  # fmt: skip


async def kept(files: FileStore, record: FileRecord) -> FileRecord:
    await files.begin(record, QUOTA)
    await files.finish(record)
    return record


async def held(batches: BatchStore, batch: BatchRecord, owner: str = "one") -> Hold:
    """Take a batch, as a gateway does."""
    seen = next(each for each in await batches.active() if each.id == batch.id)
    taken = await batches.take(seen, owner)
    assert taken is not None
    return Hold(taken.id, owner, taken.generation)


async def test_a_file_is_deleted_or_read_by_a_batch_never_both(database: Database) -> None:
    files, batches = FileStore(database), BatchStore(database)
    for _ in range(12):
        file = await kept(files, a_file())
        batch = a_batch(file.id)

        async def make(batch: BatchRecord = batch) -> bool:
            try:
                await batches.add(batch, 100)
            except RequestError:
                return False
            return True

        made, claimed = await asyncio.gather(make(), files.claim(file.id))
        assert made != claimed
        assert (await files.find("org-a", file.id) is None) is claimed


async def test_nobody_has_more_batches_at_a_time_than_are_allowed(database: Database) -> None:
    files, batches = FileStore(database), BatchStore(database)
    file = await kept(files, a_file())
    made = await asyncio.gather(
        *(batches.add(a_batch(file.id), 3) for _ in range(12)), return_exceptions=True
    )
    assert sum(each is None for each in made) == 3
    assert all(isinstance(each, LimitExceeded) for each in made if each is not None)
    assert len(await batches.active()) == 3


@pytest.mark.parametrize("change", [{"tenant": "org-b"}, {"purpose": "batch_output"},
                                    {"expires_s": NOW_S - 1}])  # fmt: skip
async def test_a_batch_reads_no_other_file(database: Database, change: dict[str, object]) -> None:
    files, batches = FileStore(database), BatchStore(database)
    file = await kept(files, replace(a_file(), **change))  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="no file"):
        await batches.add(a_batch(file.id), 9)
    with pytest.raises(RequestError, match="no file"):
        await batches.add(a_batch(new_file_id()), 9)


async def test_small_files_count_as_what_they_take(database: Database) -> None:
    """A quota of bytes alone would let in a billion files of one byte."""
    files = FileStore(database)
    for _ in range(4):
        await files.begin(a_file(size=1), 4 * 4096)
    with pytest.raises(PenstockError, match="no room"):
        await files.begin(a_file(size=1), 4 * 4096)


async def test_what_is_stale_is_found_behind_what_is_not_to_be_had(database: Database) -> None:
    """Hundreds of files that batches read, or that cannot be removed, hide no others."""
    files, batches = FileStore(database), BatchStore(database)
    read = [await kept(files, a_file(life_s=10.0)) for _ in range(3)]
    over = [await kept(files, a_file(life_s=10.0)) for _ in range(130)]
    given_up = a_file()
    await files.begin(given_up, QUOTA)
    fresh = await kept(files, a_file())
    for file in read:
        await batches.add(a_batch(file.id), 9)
    endings: list[Ending] = []
    while some := await files.stale(NOW_S + 4000, endings[-1] if endings else FIRST):
        endings += some
    found = [each.file_id for each in endings]
    assert found == [*sorted(each.id for each in over), given_up.id]
    assert fresh.id not in found
    before = await files.stale(NOW_S + 3000, endings[-2])
    assert given_up.id not in {each.file_id for each in before}
    assert not await files.claim(read[0].id)
    shown = await files.page("org-a", None, Page(limit=500), NOW_S + 4000)
    assert [each.id for each in shown] == [fresh.id]


async def test_what_a_claimed_file_leaves_is_found_at_once(database: Database) -> None:
    files = FileStore(database)
    file = await kept(files, a_file())
    assert await files.claim(file.id)
    assert await files.find("org-a", file.id) is None
    assert await files.stale(NOW_S) == [Ending(0.0, file.id)]


async def test_only_who_holds_a_batch_makes_files_of_it(database: Database) -> None:
    files, batches = FileStore(database), BatchStore(database)
    source = await kept(files, a_file())
    batch = a_batch(source.id)
    await batches.add(batch, 9)
    late = await held(batches, batch)
    seen = next(iter(await batches.active()))
    taken = await batches.take(seen, "two")
    assert taken is not None
    hold = Hold(batch.id, "two", taken.generation)
    lost, made, empty = (replace(a_file(), purpose="batch_output") for _ in range(3))
    assert not await batches.plan(late, [lost])
    assert await batches.plan(hold, [made, empty])
    assert await files.find("org-a", made.id) is None, "it is not whole yet"
    ended = {"status": "completed", "completed_s": NOW_S + 9}
    assert not await batches.close(late, ended, [lost], [lost])
    assert await batches.close(hold, ended, [made, empty], [replace(made, size_bytes=7)])
    whole = await files.find("org-a", made.id)
    assert whole is not None
    assert whole.size_bytes == 7
    for each in (lost, empty):
        assert await files.find("org-a", each.id) is None
    assert await files.stale(NOW_S + 4000) == []


async def test_which_batches_are_long_over(database: Database) -> None:
    files, batches = FileStore(database), BatchStore(database)
    source = await kept(files, a_file())
    rows = [a_batch(source.id) for _ in range(6)]
    for row in rows:
        await batches.add(row, 9)
    endings = {"completed": NOW_S, "failed": NOW_S, "expired": NOW_S, "cancelled": NOW_S + 500}
    for row, (status, ended_s) in zip(rows, endings.items(), strict=False):
        hold = await held(batches, row)
        assert await batches.close(hold, {"status": status, f"{status}_s": ended_s})
    asked = [*(row.id for row in rows), *(new_batch_id() for _ in range(1200))]
    assert set(await batches.over(asked, NOW_S + 100)) == {row.id for row in rows[:3]}


async def test_one_tenants_batches_hide_no_others(database: Database) -> None:
    files, batches = FileStore(database), BatchStore(database)
    mine = await kept(files, a_file("org-a"))
    other = await kept(files, a_file("org-b"))
    for n in range(70):
        await batches.add(a_batch(mine.id, created_s=NOW_S + n), 100)
    last = a_batch(other.id, "org-b", NOW_S + 100)
    await batches.add(last, 100)
    seen = await batches.active()
    assert [each.tenant for each in seen].count("org-a") == 64
    assert seen[-1].id == last.id
