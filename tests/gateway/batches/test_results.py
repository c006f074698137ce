"""Results of a batch in a folder: nothing is lost, nothing comes twice, and all of it is JSON."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.gateway.batching.line_client import Reply
from penstock.gateway.batching.results import Leftover, Results, Written, result_line
from penstock.gateway.batching.threads import Threads
from penstock.ground.errors import StoreUnavailable
from penstock.registry.batches.contents import Folder
from penstock.registry.batches.records import BatchRecord, FileRecord

BATCH = BatchRecord(
    "batch_" + "0" * 24, "org-a", "key", "00", "/v1/chat/completions", "file-" + "0" * 24,
    "in_progress", 0.0, 86_400.0, 3600.0, "", total=4, generation=1,
)  # fmt: skip
WHY = Leftover("batch_cancelled", "no")


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads()
    yield made
    made.close()


def runner(folder: Path, threads: Threads, generation: int = 1) -> Results:
    """The results as the runner of this generation has them."""
    return Results(Folder(folder), replace(BATCH, generation=generation), folder, threads)


async def answer(results: Results, number: int, text: str, *, failed: bool = False) -> None:
    reply = Reply(500 if failed else 200, json.dumps(text).encode())
    line = result_line(BATCH.id, number, f"q-{number}", ("r", reply))
    await results.add(number, line, failed=failed)


def written(results: Results, why: Leftover | None = None) -> Written:
    names = iter([(number, f"q-{number}") for number in range(1, 5)])
    return results.write_out(names, why, results.planned(9.0))


def rows(folder: Path, record: FileRecord | None) -> dict[str, object]:
    if record is None:
        return {}
    data = (folder / "files" / record.id).read_bytes()
    assert len(data) == record.size_bytes
    told = [json.loads(each) for each in data.decode().splitlines()]
    return {each["custom_id"]: (each["response"] or each["error"]) for each in told}


async def test_who_was_replaced_writes_over_nothing(tmp_path: Path, threads: Threads) -> None:
    """It was slow, takes the batch for cancelled, and makes files when its successor has ended."""
    late, heir = runner(tmp_path, threads), runner(tmp_path, threads, 2)
    await heir.load()
    for number in (1, 2, 3, 4):
        await answer(heir, number, "yes")
    made = written(heir)
    assert made.completed == 4
    assert made.errors is None
    heir.forget()
    stray = written(late, WHY)
    assert len(rows(tmp_path, stray.errors)) == 4
    assert stray.errors is not None
    assert rows(tmp_path, made.output).keys() == {"q-1", "q-2", "q-3", "q-4"}
    assert made.output is not None
    assert {each.id for each in late.planned(9.0)}.isdisjoint(
        each.id for each in heir.planned(9.0)
    )


async def test_each_line_counts_as_it_stands_in_the_files(
    tmp_path: Path, threads: Threads
) -> None:
    """What two runners have asked, the first one has; its successor saw it fail."""
    one, two = runner(tmp_path, threads), runner(tmp_path, threads, 2)
    await two.load()
    await answer(one, 1, "yes")
    await answer(two, 1, "no", failed=True)
    await answer(two, 2, "yes")
    made = written(two, WHY)
    assert made.completed == 2
    assert rows(tmp_path, made.output).keys() == {"q-1", "q-2"}
    assert rows(tmp_path, made.errors).keys() == {"q-3", "q-4"}


async def test_who_takes_over_does_not_begin_to_count_anew(
    tmp_path: Path, threads: Threads
) -> None:
    """Whoever looks at the batch would see what was done go back to nothing."""
    batch = replace(BATCH, completed=2, failed=1)
    results = Results(Folder(tmp_path), batch, tmp_path, threads)
    assert results.counts == (2, 1)
    await results.load()
    assert results.counts == (0, 0)
    await answer(results, 1, "yes")
    assert results.counts == (1, 0)


async def test_results_that_are_not_there_any_more_end_no_batch(
    tmp_path: Path, threads: Threads
) -> None:
    """A folder that was taken away, or another that was mounted, is no empty result."""
    results = runner(tmp_path, threads)
    await answer(results, 1, "yes")
    results.forget()
    with pytest.raises(StoreUnavailable, match="1 of 1"):
        written(results)


async def test_what_cannot_be_kept_is_held_until_it_can(tmp_path: Path, threads: Threads) -> None:
    results = runner(tmp_path, threads)
    (tmp_path / "parts").mkdir()
    in_the_way = tmp_path / "parts" / BATCH.id
    in_the_way.touch()
    with pytest.raises(StoreUnavailable):
        await results.open()
    adding = asyncio.create_task(answer(results, 1, "yes"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await asyncio.shield(adding)
    in_the_way.unlink()
    await adding
    assert rows(tmp_path, written(results).output).keys() == {"q-1"}


async def test_who_is_cancelled_leaves_when_the_thread_is_done(threads: Threads) -> None:
    """So nothing is written behind what comes next, and nothing is closed that is being read."""
    told: list[str] = []
    begun, may_end = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(may_end.wait(), loop).result()
        told.append("written")

    task = asyncio.create_task(threads.do(work))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["written"]


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b'{"a":' * 200_000, b'{"a": "\xff\xfe"}', b"\xff", b"", b'{"a": "x\ny"}',
     '{"a": "x\u2028y\u0085z"}'.encode(), b'{"a": 1e999, "a": 2}'],
    ids=lambda body: ascii(body[:12]),
)  # fmt: skip
def test_whatever_an_engine_answers_is_one_line_of_json(body: bytes) -> None:
    line = result_line(BATCH.id, 1, "q-1", ("r", Reply(200, body)))
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line)["custom_id"] == "q-1"
