"""Places of files that are away, keys that are gone, tenants with many batches."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.fakes.counting_engine import CountingEngine
from tests.fakes.gateway_answers import completion, plain
from tests.fakes.gateway_engine import Act, scripted_engine, wait_until
from tests.gateway.batches.batch_gateway import (
    batch_settings,
    line,
    rows,
    start,
    upload,
    wait_for,
)
from tests.gateway.batches.test_left_behind import change
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess
from tests.gateway.registry_gateway import entries

from penstock.registry.records import Budgets

LINES = [line(f"q-{n}", f"question {n}") for n in range(40)]
PAUSE_S = 0.02
AT_ONCE = 4  # lines; the default


def put_back(kept: Path, place: Path) -> None:
    """Replace the file at `place` by the folder `kept`, in one step.

    A gateway that found nothing there for a moment would make a folder anew.
    """
    link = place.with_name("link")
    link.symlink_to(kept)
    link.replace(place)


def test_while_nothing_can_be_kept_nothing_is_asked(
    engine: CountingEngine, tmp_path: Path
) -> None:
    """A full disk must not spend the tenant's budget on answers that are thrown away."""
    settings = batch_settings({"engine": engine.url}, tmp_path)
    parts = tmp_path / "files" / "parts"
    with GatewayProcess(settings) as gateway:
        client = gateway.sdk(BOB)
        engine.holds_after = 8
        batch = start(client, LINES)
        # Whoever asks the next line has kept the one before: nobody makes the folder anew.
        wait_until(lambda: engine.waiting == AT_ONCE)
        parts.rename(tmp_path / "away")
        parts.touch()
        engine.holds_after = None
        wait_until(lambda: f"results of {batch.id} wait" in gateway.log)
        wait_until(lambda: not engine.running)
        asked = len(engine.journal)
        assert asked < len(LINES)
        time.sleep(0.5)
        assert len(engine.journal) == asked
        assert client.batches.retrieve(batch.id).status == "in_progress"
        put_back(tmp_path / "away", parts)
        done = wait_for(client, batch.id)
        assert rows(client, done.output_file_id).keys() == {each["custom_id"] for each in LINES}
        assert len(engine.journal) == len(LINES), "no line was paid for twice"
        parts.unlink()
        parts.touch()
        late = start(client, LINES[:3])
        wait_until(lambda: f"{late.id} waits" in gateway.log)
        assert len(engine.journal) == len(LINES), "what cannot be kept is not asked at all"


@pytest.mark.parametrize("is_gone", [False, True], ids=["away", "deleted"])
def test_what_was_answered_outlasts_the_place_and_the_window(
    engine: CountingEngine, tmp_path: Path, is_gone: bool
) -> None:
    """When its 24 hours are over the place of the files is away; or the batch's own file is."""
    settings = batch_settings({"engine": engine.url}, tmp_path)
    files = tmp_path / "files"
    with GatewayProcess(settings) as gateway:
        engine.holds_after = 12
        batch = start(gateway.sdk(BOB), LINES)
        # Nothing else is on its way to the engine then.
        wait_until(lambda: engine.waiting == AT_ONCE)
        gateway.process.kill()
        gateway.process.wait(10)
    asked, engine.holds_after = len(engine.journal), None
    change(tmp_path, batch.id, expires_s=1.0, owner="")
    source = files / "files" / batch.input_file_id
    hidden = source.rename(tmp_path / "hidden") if is_gone else files.rename(tmp_path / "hidden")
    if not is_gone:
        files.touch()  # so that no folder can be made in its place
    with GatewayProcess(settings) as heir:
        client = heir.sdk(BOB)
        if not is_gone:
            wait_until(lambda: "no files are kept here" in heir.log)
            assert heir.get("/v1/files", BOB).status_code == 503
            put_back(hidden, files)
            wait_until(lambda: heir.get("/v1/files", BOB).is_success)
        done = wait_for(client, batch.id, ["expired"])
        good, bad = rows(client, done.output_file_id), rows(client, done.error_file_id)
        assert len(good) >= 8
        assert done.request_counts is not None
        assert done.request_counts.completed == len(good)
        assert done.request_counts.total == len(LINES)
        if not is_gone:
            assert good.keys() | bad.keys() == {each["custom_id"] for each in LINES}
            assert {row["error"]["code"] for row in bad.values()} == {"batch_expired"}
        assert len(engine.journal) == asked, "nothing is asked when the window has ended"


def test_a_batch_whose_file_is_gone_can_be_cancelled(
    engine: CountingEngine, tmp_path: Path
) -> None:
    settings = batch_settings({"engine": engine.url}, tmp_path)
    engine.holds_after = 8
    with GatewayProcess(settings) as gateway:
        batch = start(gateway.sdk(BOB), LINES)
        wait_until(lambda: engine.waiting == AT_ONCE)  # it has kept eight, and cannot end
        gateway.process.kill()
        gateway.process.wait(60)
    (tmp_path / "files" / "files" / batch.input_file_id).unlink()
    with GatewayProcess(settings) as heir:
        client = heir.sdk(BOB)
        wait_until(lambda: f"{batch.id} waits" in heir.log)
        client.batches.cancel(batch.id)
        done = wait_for(client, batch.id, ["cancelled"])
        assert rows(client, done.output_file_id)


def test_a_key_that_is_not_known_holds_no_place(engine: CountingEngine, tmp_path: Path) -> None:
    """As one from elsewhere, which was deleted there before this gateway was started."""
    settings = batch_settings({"engine": engine.url}, tmp_path, at_once=2)
    with GatewayProcess(settings) as gateway:
        engine.pause_s = 5.0
        batch = start(gateway.sdk(BOB), LINES)
        wait_for(gateway.sdk(BOB), batch.id, ["in_progress"])
    engine.pause_s = 0.0
    change(tmp_path, batch.id, digest="ab" * 32)
    with GatewayProcess(settings) as heir:
        wait_until(lambda: heir.metric("penstock_batches_running") == 1)
        alice = heir.sdk(ALICE)
        assert wait_for(alice, start(alice, LINES[:4]).id).status == "completed"
        client = heir.sdk(BOB)
        assert client.batches.cancel(batch.id).status == "cancelling"
        wait_for(client, batch.id, ["cancelled"])


def test_a_tenant_with_many_batches_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    with scripted_engine() as engine:
        engine.play([Act.WAIT, *plain(completion())])
        settings = batch_settings({"engine": engine.url}, tmp_path, at_once=8)
        with GatewayProcess(settings) as gateway:
            client = gateway.sdk(BOB)
            file_id = upload(client, [line("a")])
            made = [
                client.batches.create(
                    input_file_id=file_id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                ).id
                for _ in range(24)
            ]
            running = "penstock_batches_running"
            wait_until(lambda: gateway.metric(running) == 4)
            tiny = gateway.sdk("ps-tiny-secret").with_options(max_retries=10)
            other = start(tiny, [line("b")])
            wait_for(tiny, other.id, ["in_progress"])
            wait_until(lambda: any(other.id in a.headers["x-request-id"] for a in engine.asked))
            assert gateway.metric(running) == 5
            engine.play(plain(completion()))
            engine.release()
            assert wait_for(tiny, other.id).status == "completed"
            for batch_id in made:
                assert wait_for(client, batch_id).status == "completed"


def test_what_a_client_has_reserved_ends_no_batch(tmp_path: Path) -> None:
    """Most of it comes back: the batch waits for it, and ends when the budget is spent."""
    with scripted_engine() as engine:
        engine.play([Act.WAIT, *plain(completion())])
        plain_settings = batch_settings({"engine": engine.url}, tmp_path)
        alice, bob, *rest = plain_settings.tenants
        bob = msgspec.structs.replace(bob, budgets=Budgets(tokens_per_day=3000))
        settings = msgspec.structs.replace(plain_settings, tenants=(alice, bob, *rest))
        with GatewayProcess(settings) as gateway, ThreadPoolExecutor(1) as threads:
            answer = threads.submit(gateway.chat, max_tokens=1800)
            wait_until(lambda: engine.running == 1)
            client = gateway.sdk(BOB)
            batch = start(client, [line("a", "word " * 80)])
            wait_until(lambda: len(refused(gateway)) >= 5)
            assert client.batches.retrieve(batch.id).status == "in_progress"
            engine.play(plain(completion()))
            engine.release()
            assert answer.result().is_success
            done = wait_for(client, batch.id)
            assert rows(client, done.output_file_id).keys() == {"a"}


def refused(gateway: GatewayProcess) -> list[str]:
    return [name for name, row in entries(gateway).items() if row["outcome"] == "refused"]


def test_a_mark_that_is_damaged_ends_no_gateway(engine: CountingEngine, tmp_path: Path) -> None:
    settings = batch_settings({"engine": engine.url}, tmp_path)
    mark = tmp_path / "files" / "penstock-files"
    mark.parent.mkdir()
    for data in (b"", b"\xff\xfe", b"no number"):
        mark.write_bytes(data)
        with GatewayProcess(settings) as gateway:
            assert gateway.chat(max_tokens=4).is_success
            answer = gateway.get("/v1/files", BOB)
            assert answer.status_code == 503
            assert "damaged" in answer.text


def test_what_is_wrong_is_told_in_few_words(engine: CountingEngine, tmp_path: Path) -> None:
    """A file of a few lines could otherwise put a hundred megabytes into its batch's row."""
    settings = batch_settings({"engine": engine.url}, tmp_path)
    settings = msgspec.structs.replace(settings, max_body_bytes=400_000)
    with GatewayProcess(settings) as gateway:
        client = gateway.sdk(BOB)
        lines = [{**line(f"q-{n}"), "y" * 300_000: 1} for n in range(20)]
        failed = wait_for(client, start(client, lines).id, ["failed"])
        assert failed.errors is not None
        assert len(failed.errors.data or ()) == 20
        with closing(sqlite3.connect(tmp_path / "r.db")) as database:
            (size,) = database.execute(
                "SELECT max(length(errors)) FROM penstock_batches"
            ).fetchone()
        assert size < 20_000


def test_blank_lines_without_end_are_refused(engine: CountingEngine, tmp_path: Path) -> None:
    with GatewayProcess(batch_settings({"engine": engine.url}, tmp_path)) as gateway:
        client = gateway.sdk(BOB)
        few = start(client, [*[""] * 5000, line("a"), *["  "] * 4000])
        assert wait_for(client, few.id).status == "completed"
        failed = wait_for(client, start(client, [line("a"), *["\r"] * 30_000]).id, ["failed"])
        assert failed.errors is not None
        assert {each.code for each in failed.errors.data or ()} == {"invalid_json"}
