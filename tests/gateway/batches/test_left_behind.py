"""What killed gateways and defects leave in the place of the files goes, and nothing else does."""

import io
import os
import secrets
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.fakes.counting_engine import CountingEngine
from tests.fakes.gateway_engine import wait_until
from tests.gateway.batches.batch_gateway import batch_settings, line, start, upload, wait_for
from tests.gateway.batches.test_bucket import bucket
from tests.gateway.gateway_process import BOB, GatewayProcess

from penstock.gateway.settings import Settings
from penstock.registry.batches.bucket import BucketContents
from penstock.registry.batches.contents import Contents, Folder

__all__ = ["bucket"]
DAY_S = 86_400.0


@pytest.fixture(params=["folder", "s3"])
def place(
    request: pytest.FixtureRequest, engine: CountingEngine, tmp_path: Path
) -> tuple[Settings, Contents]:
    """A gateway's settings, and the place of its files."""
    engines = {"engine": engine.url}
    if request.param == "folder":
        return batch_settings(engines, tmp_path), Folder(tmp_path / "files")
    url = f"s3://{request.getfixturevalue('bucket')}/below"
    return batch_settings(engines, tmp_path, bucket=url), BucketContents(url)


def change(folder: Path, batch_id: str, **values: object) -> None:
    """Write into a batch's row."""
    told = ", ".join(f"{name} = ?" for name in values)
    with closing(sqlite3.connect(folder / "r.db", timeout=30)) as database, database:
        database.execute(
            f"UPDATE penstock_batches SET {told} WHERE id = ?",  # noqa: S608  names are ours
            (*values.values(), batch_id),
        )


def test_parts_of_batches_that_ended_long_ago_are_removed(
    place: tuple[Settings, Contents], tmp_path: Path
) -> None:
    settings, contents = place
    long_ago_s = time.time() - 3 * DAY_S
    with GatewayProcess(settings) as gateway:
        client = gateway.sdk(BOB)
        ids = [wait_for(client, start(client, [line("a")]).id).id for _ in range(4)]
    old, failed, fresh, active = ids
    unknown = f"batch_{secrets.token_hex(12)}"
    change(tmp_path, old, completed_s=long_ago_s)
    change(tmp_path, failed, status="failed", completed_s=None, failed_s=long_ago_s,
           errors='{"object":"list","data":[{"code":"internal_error","message":""}]}')  # fmt: skip
    change(tmp_path, active, status="in_progress", completed_s=None, created_s=long_ago_s,
           owner="another", expires_s=time.time() + DAY_S)  # fmt: skip
    for name in (*ids, unknown, "no-batch"):
        for number in (1, 2):
            contents.append(f"parts/{name}", "000001", number, b'{"n":1,"e":false,"line":{}}\n')
    assert set(contents.folders("parts")) == {*ids, unknown, "no-batch"}
    left = {fresh, active, unknown, "no-batch"}
    with GatewayProcess(settings) as gateway:
        wait_until(lambda: set(contents.folders("parts")) == left)
        assert gateway.sdk(BOB).batches.retrieve(old).status == "completed"
    assert set(contents.folders("parts")) == left


def test_a_file_that_cannot_be_removed_keeps_no_other(
    engine: CountingEngine, tmp_path: Path
) -> None:
    """It is told, tried again, and goes when it can."""
    settings = batch_settings({"engine": engine.url}, tmp_path, life_s=0.2)
    kept = tmp_path / "files" / "files"
    with GatewayProcess(settings) as gateway:
        client = gateway.sdk(BOB)
        ids = sorted(upload(client, [line("a")]) for _ in range(5))
    stuck = kept / ids[0]
    stuck.unlink()
    (stuck / "within").mkdir(parents=True)
    old = tmp_path / "files" / "made-old"
    old.touch()
    os.utime(old, (1, 1))
    with GatewayProcess(settings) as gateway:
        wait_until(lambda: list(kept.iterdir()) == [stuck])
        wait_until(lambda: ids[0] in gateway.log)
        assert "1 files cannot be removed" in gateway.log
        wait_until(lambda: not old.exists())
    (stuck / "within").rmdir()
    stuck.rmdir()
    with GatewayProcess(settings) as gateway:
        wait_until(lambda: not _files_in(tmp_path))


def _files_in(folder: Path) -> list[object]:
    with closing(sqlite3.connect(folder / "r.db", timeout=30)) as database:
        return database.execute("SELECT id FROM penstock_files").fetchall()


def test_files_that_a_killed_runner_made_are_forgotten(
    engine: CountingEngine, tmp_path: Path
) -> None:
    """It is killed between its files and the end of its batch: another one makes them anew."""
    settings = batch_settings({"engine": engine.url}, tmp_path)
    with GatewayProcess(settings) as gateway:
        client = gateway.sdk(BOB)
        done = wait_for(client, start(client, [line("a")]).id)
    contents = Folder(tmp_path / "files")
    stray = f"file-{secrets.token_hex(12)}"
    contents.put(f"files/{stray}", io.BytesIO(b"{}"))
    with closing(sqlite3.connect(tmp_path / "r.db", timeout=30)) as database, database:
        row = (stray, "bob", "x", "batch_output", 0, time.time() - 4000, time.time() - 400, False)
        database.execute("INSERT INTO penstock_files VALUES (?,?,?,?,?,?,?,?)", row)
    with GatewayProcess(settings) as gateway:
        wait_until(lambda: not (tmp_path / "files" / "files" / stray).exists())
        wait_until(lambda: len(_files_in(tmp_path)) == 2)
        assert gateway.sdk(BOB).files.content(done.output_file_id or "").text
