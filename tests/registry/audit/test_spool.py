"""The spool and who reads behind it: nothing is lost, nothing comes twice, files go back."""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.registry.audit.audits import check, wrapper

from penstock.ground.errors import StoreUnavailable
from penstock.registry.audit import spool as spools
from penstock.registry.audit.archivist import CHAINS, SPOOLS, Archivist
from penstock.registry.audit.book import Rules
from penstock.registry.audit.chain import HEAD, ChainWriter, read_head
from penstock.registry.audit.reading import Chains, Folder, Keys, entries
from penstock.registry.audit.records import Contents, pack_begun, pack_ended
from penstock.registry.audit.spool import BEGIN, END, LOCK, WHOLE, Spool, SpoolFile
from penstock.registry.entries import OUTCOMES, End

SMALL = 4096


def begin(name: str, body: bytes = b"") -> bytes:
    identity = f"{name}\0alice\0key-1\0tiny\0".encode()
    return pack_begun(1000.0, identity, b"/v1/chat/completions\0", body)


def end(name: str, wire: bytes = b"") -> bytes:
    how = End(OUTCOMES.index("complete"), False, 7, 0, 3, 5, 12.0)
    return pack_ended(1001.0, (name.encode(), b"engine", b"tiny\0"), how, wire, is_cut=False)


def whole(name: str) -> bytes:
    return msgspec.json.encode({"time_s": 1.0, "kind": "tool", "request_id": name})


class Desk:
    """A folder, a spool and an archivist whose steps are taken by hand."""

    def __init__(self, root: Path, name: str = "one", **more: Any) -> None:
        self.root = root
        (root / CHAINS).mkdir(exist_ok=True)
        self.spool = Spool(root / SPOOLS / name, file_bytes=SMALL, **more)
        rules = Rules(segment_bytes=2000, sync_s=0.0)
        self.archivist = Archivist(root, self.spool, rules, Contents(), wrapper())

    def start(self) -> None:
        """Begin the chain without the thread."""
        self.archivist._thread.start = lambda: None  # type: ignore[method-assign]
        self.archivist.start()

    def step(self) -> None:
        self.archivist._step()

    def die(self) -> None:
        """Leave everything as a killed process does: only the lock goes."""
        os.close(self.spool._lock)


def names(root: Path) -> list[str]:
    report = check(root, wrapper())
    assert report.findings == []
    found = [msgspec.json.decode(e) for e in entries(Chains(Folder(root)), Keys(wrapper()))]
    return [f"{e['request_id']} {e.get('outcome', '')}".strip() for e in found]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.start()
    return made


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    own = Spool(tmp_path / "one", file_bytes=SMALL)
    given = [(kind, os.urandom(size)) for size in (0, 1, 7, 8, 300) for kind in (BEGIN, WHOLE)]
    for kind, payload in given:
        own.append(kind, payload)
    found = [*own.read(3), *own.read(100)]
    assert [(record.kind, record.payload) for record in found] == given
    assert own.read(100) == []
    assert [(r.kind, r.payload) for r in spools.read_left(tmp_path / "one")] == given


def test_files_are_rolled_and_given_back(desk: Desk) -> None:
    for number in range(200):
        desk.spool.append(BEGIN, begin(f"r{number}"))
        desk.spool.append(END, end(f"r{number}"))
        if number % 10 == 9:
            desk.step()
    desk.step()
    assert len(list(desk.spool.folder.glob("*.spool"))) <= 2
    desk.archivist._finish()
    assert not desk.spool.folder.exists()
    assert names(desk.root) == [f"r{number} complete" for number in range(200)]
    assert len(list((desk.root / CHAINS / "one").glob("*.jsonl"))) > 3


def test_a_full_spool_refuses_what_begins_and_takes_what_ends(tmp_path: Path) -> None:
    own = Spool(tmp_path / "one", file_bytes=SMALL, max_bytes=3 * SMALL)
    begun = 0
    while own.has_room:
        own.append(BEGIN, begin(f"r{begun}"))
        begun += 1
    assert begun > 40
    own.append(END, end("r0"))
    big = end("r1", b"x" * 2000)
    for _ in range(2):
        with contextlib.suppress(StoreUnavailable):
            own.append(END, big)
    with pytest.raises(StoreUnavailable, match="spool is full"):
        own.append(END, big)
    own.append(END, end("r2"))


def test_what_begins_is_not_refused_before_the_next_file_is_made(tmp_path: Path) -> None:
    own = Spool(tmp_path / "one", file_bytes=SMALL)
    while own._spare is not None:
        own.append(BEGIN, begin("r"))
    assert own.has_room
    own.prepare()
    assert own._spare is not None


class Rolling(Spool):
    """Begins the next file while the other thread looks for finished ones."""

    looked_at = False

    @property
    def _current(self) -> SpoolFile:
        if self.looked_at:
            self.looked_at = False
            self._roll(0)
        return self._file

    @_current.setter
    def _current(self, file: SpoolFile) -> None:
        self._file = file


def test_the_next_file_may_be_begun_while_finished_ones_are_looked_for(tmp_path: Path) -> None:
    own = Rolling(tmp_path / "one", file_bytes=SMALL)
    own.append(WHOLE, b"a record")
    assert len(own.read(100)) == 1
    own.looked_at = True
    assert own.finished() == [1]
    own.release(1)
    assert len(own._files) == 1


def test_a_record_that_was_not_finished_is_not_read(tmp_path: Path) -> None:
    own = Spool(tmp_path / "one", file_bytes=SMALL)
    own.append(WHOLE, b"good")
    at = own._current.used
    own._current.map[at + 8 : at + 12] = b"half"
    assert [record.payload for record in spools.read_left(tmp_path / "one")] == [b"good"]


@pytest.mark.parametrize("steps", [0, 1, 5, 20])
def test_an_heir_adds_what_is_missing_once(tmp_path: Path, steps: int) -> None:
    """Killed after any number of the archivist's steps, with one request left running."""
    dead = Desk(tmp_path)
    dead.start()
    dead.spool.append(BEGIN, begin("running"))
    for number in range(60):
        dead.spool.append(BEGIN, begin(f"r{number}"))
        dead.spool.append(END, end(f"r{number}"))
        dead.spool.append(WHOLE, whole(f"r{number}/1"))
        if number % 20 == 0:
            dead.archivist._own.prepare()
        if steps and number % (60 // steps) == 0:
            dead.step()
    dead.die()
    heir = Desk(tmp_path, "two")
    heir.start()
    heir.archivist.inherit()
    heir.archivist.inherit()
    expected = [each for n in range(60) for each in (f"r{n} complete", f"r{n}/1")]
    assert names(tmp_path) == [*expected, "running gateway_died"]
    assert not dead.spool.folder.exists()
    head = read_head(tmp_path / CHAINS / "one")
    assert head is not None
    assert head.closed


@pytest.mark.parametrize("written", range(0, 12, 2))
def test_an_heir_that_dies_leaves_a_chain_that_can_be_finished(
    tmp_path: Path, written: int
) -> None:
    """The heir's segment is cut anywhere, as a kill would; the next one goes on from there."""
    dead = Desk(tmp_path)
    dead.start()
    for number in range(10):
        dead.spool.append(BEGIN, begin(f"r{number}"))
        if number % 2:
            dead.spool.append(END, end(f"r{number}"))
    dead.die()
    keep = tmp_path / "kept"
    shutil.copytree(dead.spool.folder, keep)
    heir = Desk(tmp_path, "two")
    heir.start()
    heir.archivist.inherit()
    chain = tmp_path / CHAINS / "one"
    last = max(chain.glob("*.jsonl"))
    lines = last.read_bytes().splitlines(keepends=True)
    last.with_suffix(".open").write_bytes(b"".join(lines[:written]) + b'{"n":1')
    last.unlink()
    (chain / HEAD).unlink()
    os.rename(keep, dead.spool.folder)
    heir.archivist.inherit()
    found = names(tmp_path)
    assert sorted(found) == sorted(
        f"r{number} {'complete' if number % 2 else 'gateway_died'}" for number in range(10)
    )


def test_what_lives_is_not_buried(tmp_path: Path) -> None:
    living = Desk(tmp_path)
    living.start()
    living.spool.append(BEGIN, begin("running"))
    other = Desk(tmp_path, "two")
    other.start()
    other.archivist.inherit()
    assert names(tmp_path) == []
    living.spool.append(END, end("running"))
    living.step()
    assert names(tmp_path) == ["running complete"]


def test_a_spool_that_is_being_deleted_is_left_alone(tmp_path: Path) -> None:
    ended, heir = Desk(tmp_path), Desk(tmp_path, "two")
    for desk in (ended, heir):
        desk.start()
    (ended.spool.folder / LOCK).unlink()  # it goes last; its process lives
    heir.archivist.inherit()
    assert not (ended.spool.folder / LOCK).exists()
    ended.archivist._finish()
    assert not ended.spool.folder.exists()
    assert len(list((tmp_path / CHAINS / "one").glob("*.jsonl"))) == 1


def test_a_spool_that_was_deleted_before_its_lock_was_taken_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, heir = Desk(tmp_path), Desk(tmp_path, "two")
    for desk in (ended, heir):
        desk.start()
    real = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        ended.archivist._finish()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    heir.archivist.inherit()
    assert not ended.spool.folder.exists()
    assert len(list((tmp_path / CHAINS / "one").glob("*.jsonl"))) == 1


def test_a_disk_that_fails_is_tried_again_and_nothing_comes_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.spool.append(BEGIN, begin("r1"))
    desk.spool.append(END, end("r1"))
    real, left = os.write, [3]

    def failing(descriptor: int, data: Any) -> int:
        if left[0]:
            left[0] -= 1
            if left[0] == 2:
                return real(descriptor, bytes(data)[:10])
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", failing)
    pauses = [desk.archivist._try(desk.step, 0.05) for _ in range(4)]
    monkeypatch.undo()
    desk.step()
    assert desk.archivist.failures >= 1
    assert pauses[0] > 0.05
    assert names(desk.root) == ["r1 complete"]


@pytest.mark.parametrize("at_an_end", [False, True])
def test_lines_that_the_head_cannot_tell_of_are_there_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, at_an_end: bool
) -> None:
    """The disk is full for the head: after lines, or where a segment ends."""
    real = ChainWriter.write_head

    def failing(chain: ChainWriter, *, ended: bool = False, closed: bool = False) -> None:
        if ended is at_an_end:
            raise OSError(28, "No space left on device")
        real(chain, ended=ended, closed=closed)

    monkeypatch.setattr(ChainWriter, "write_head", failing)
    for number in range(40):
        desk.spool.append(WHOLE, whole(f"r{number}"))
        desk.archivist._try(desk.step, 0.05)
    assert desk.archivist.failures > 0
    monkeypatch.undo()
    desk.step()
    assert desk.archivist.entries == 40
    assert names(desk.root) == [f"r{number}" for number in range(40)]
    assert len(list((desk.root / CHAINS / "one").glob("*.open"))) == 1
    assert check(desk.root, wrapper()).newer <= 2, "its header, and where one ended, its footer"
