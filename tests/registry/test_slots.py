"""Slots: kinds and notes are there whatever dies when, and nothing spills over to a neighbour."""

import fcntl
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.registry.entries import KINDS, NOTE_BYTES, OUTCOMES, End
from penstock.registry.pricing import cost_of
from penstock.registry.records import Price
from penstock.registry.slots import Owner, SlotFile, read_slots

PRICE = Price.per_million(1.0, 0.5, 2.0)
TEXT = b"req-1\0org-a\0key-1\0model\0adapter"


@pytest.fixture
def slots(tmp_path: Path) -> SlotFile:
    return SlotFile(tmp_path / "gw.slots", Owner("gw", ("engine",)))


def test_kind_and_note_of_an_open_slot_outlive_the_process(slots: SlotFile) -> None:
    at = slots.admit(TEXT, 10, PRICE, 5.0, KINDS.index("tool"))
    slots.note(at, b"canary")
    (entry,) = read_slots(slots.path)[1]
    assert (entry.kind, entry.note, entry.outcome) == ("tool", "canary", "gateway_died")
    assert (entry.request_id, entry.adapter) == ("req-1", "adapter")


def test_a_slot_that_is_used_again_has_forgotten_its_note(slots: SlotFile) -> None:
    at = slots.admit(TEXT, 10, PRICE, 5.0, KINDS.index("shadow"))
    slots.note(at, b"tier=large")
    slots.settle(at, End(0, False, 1, 0, 1, 1, 1.0))
    slots.free([at])
    assert slots.admit(TEXT, 10, PRICE, 5.0) == at
    (entry,) = slots.entries([at])
    assert (entry.kind, entry.note) == ("request", "")


DEAR = Price.per_million(10.0, 10.0, 100.0)


def test_a_request_that_another_model_answers_is_one_line(slots: SlotFile) -> None:
    at = slots.admit(TEXT, 10, PRICE, 5.0)
    slots.note(at, b"instead=model")
    moved = slots.relabel(at, b"other\0", DEAR)
    slots.asked(moved, 0)
    slots.passed(moved, 3)
    (entry,) = read_slots(slots.path)[1]
    assert (entry.request_id, entry.tenant, entry.key_id) == ("req-1", "org-a", "key-1")
    assert (entry.model, entry.adapter, entry.admitted_s) == ("other", "", 5.0)
    assert (entry.note, entry.cost_nano_usd) == ("instead=model", cost_of(DEAR, 10, 0, 2))
    assert slots.open == 1


def test_a_crash_while_it_is_moved_leaves_one_id(slots: SlotFile) -> None:
    at = slots.admit(TEXT, 10, PRICE, 5.0)
    before = slots.raw([at])
    moved = slots.relabel(at, b"other\0", DEAR)
    file = bytearray(slots.path.read_bytes())
    file[at : at + len(before)] = before  # as it is when the process dies before that is free
    left = slots.path.with_name("left.slots")
    left.write_bytes(file)
    found = read_slots(left)[1]
    assert moved != at
    assert [(entry.request_id, entry.model) for entry in found] in (
        [("req-1", "model"), ("req-1", "other")],
        [("req-1", "other"), ("req-1", "model")],
    )


def test_where_no_slot_is_free_it_stays_what_it_was(slots: SlotFile) -> None:
    at = slots.admit(TEXT, 10, PRICE, 5.0)
    slots._free.clear()
    assert slots.relabel(at, b"other\0", DEAR) == at
    assert slots.entries([at])[0].model == "model"


def test_a_shadow_that_died_costs_nothing(slots: SlotFile) -> None:
    at = slots.admit(TEXT, 10, PRICE, 5.0, KINDS.index("shadow"))
    slots.asked(at, 0)
    slots.passed(at, 9)
    (entry,) = slots.entries([at])
    assert (entry.completion_tokens, entry.cost_nano_usd) == (8, 0)


def test_a_file_of_before_there_were_notes_is_read(slots: SlotFile) -> None:
    """Bytes 1 to 3 of a slot were zero then, and its text was longer at most."""
    at = slots.admit(TEXT, 10, PRICE, 5.0)
    slots._map[at + 400 : at + 512] = b"x" * 112
    (entry,) = read_slots(slots.path)[1]
    assert (entry.kind, entry.note) == ("request", "")


@given(
    text=st.binary(max_size=900),
    note=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)),
    kind=st.sampled_from(KINDS),
    outcome=st.integers(0, len(OUTCOMES) - 1),
)
def test_whatever_is_written_stays_in_its_slot(
    text: bytes, note: bytes, kind: str, outcome: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        slots = SlotFile(Path(folder) / "gw.slots", Owner("gw", ("engine",)))
        before, at, after = (
            slots.admit(each, 1, PRICE, 5.0, KINDS.index(kind)) for each in (TEXT, text, TEXT)
        )
        for slot in (before, at, after):
            slots.note(slot, note)
        slots.settle(at, End(outcome, False, 1, 0, 1, 1, 1.0))
        whole = note.replace(b"\0", b" ")[:NOTE_BYTES].decode(errors="ignore")
        left, middle, right = slots.entries([before, at, after])
        assert left == right
        assert left.request_id == "req-1"
        assert [entry.note for entry in (left, middle, right)] == [whole] * 3
        assert (middle.kind, middle.outcome) == (kind, OUTCOMES[outcome])
        assert not any("\0" in str(value) for value in middle)
        slots.remove()


def test_room_is_taken_before_anything_is_mapped(slots: SlotFile) -> None:
    """A store to a page that the disk has no room for would end the gateway without a word."""
    told = slots.path.stat()
    assert told.st_blocks * 512 >= told.st_size > 8_000_000


def test_a_file_that_is_cleared_away_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another gateway, which finds it without a lock as if its process had died."""
    real, draft = fcntl.flock, tmp_path / ".gw.slots"
    locked: list[int] = []

    def late(descriptor: int, operation: int) -> None:
        if not locked:
            draft.unlink()
        locked.append(descriptor)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    slots = SlotFile(tmp_path / "gw.slots", Owner("gw", ("engine",)))
    assert len(locked) == 2
    slots.admit(TEXT, 10, PRICE, 5.0)
    (entry,) = read_slots(slots.path)[1]
    assert entry.request_id == "req-1"
    assert list(tmp_path.iterdir()) == [slots.path]


def test_a_place_that_cannot_be_written_is_told_and_left_as_it_was(tmp_path: Path) -> None:
    script = (
        "import pathlib, resource\n"
        "from penstock.registry.slots import Owner, SlotFile\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        f"SlotFile(pathlib.Path({str(tmp_path)!r}) / 'gw.slots', Owner('gw', ()))\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "the usage journal cannot be written: File too large. It needs 8 MiB" in done.stderr
    assert list(tmp_path.iterdir()) == []
