"""A file of slots, one a request on its way, that outlives the process that writes it.

The problem: an exact ledger without a database, or even a system call, on the hot path, from
which nothing is lost when the process is killed at any instant. The idea: the file is mapped into
memory, and what is stored there belongs to the kernel the moment it is stored. A request takes a
slot when it is admitted, notes in it how far it has come, and is settled in it before its last
bytes go to the client. A slot is free again only when its entry is in the database. Whoever finds
the file of a dead process reads every slot that is not free: a settled one is exact, an open one
says how far the answer had come. The state byte is written alone, after everything else.

What is given up: a loss of power may take what the kernel had not yet written to disk.

Layout, little-endian: a head of 16 KiB (magic, then JSON), then slots of 512 bytes each, of which
the last 96 hold a note, and the 8 before those the number of its end (see `numbered`).
"""

import fcntl
import json
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from penstock.ground.errors import MachineError, StoreUnavailable
from penstock.registry.entries import KINDS, NOTE_BYTES, OUTCOMES, UNBILLED, Entry
from penstock.registry.records import Price

SLOTS = 16_384
SLOT = 512
_HEAD = 16_384
_MAGIC = b"penstock slots 1\n"
_FREE, _OPEN, _COUNTED, _SETTLED = 0, 1, 2, 3

# At admission: kind, length of the note (none yet), way, prompt estimate, prices, admitted_s,
# length and text of `request id\0identity`.
_ADMIT = struct.Struct("<BBBI3QdH")
# While it runs: engine number, events passed on, ttft.
_RUN = struct.Struct("<HIf")
_BEGIN = struct.Struct("<BBBI3QdHHIf")
# At its end: outcome, estimated, prompt, cached, completion, cost, total_ms.
_END = struct.Struct("<BBIIIQf")
_ADMIT_AT = 1
_NOTED_AT, _WAY_AT = 2, 3
_RUN_AT = _ADMIT_AT + _ADMIT.size
_END_AT = _RUN_AT + _RUN.size
_TEXT_AT = _END_AT + _END.size
_EVENTS_AT = _RUN_AT + 2
_EVENTS = struct.Struct("<I")
_ENGINE = struct.Struct("<H")
_FLOAT = struct.Struct("<f")
_NUMBER = struct.Struct("<Q")
_NOTE_AT = SLOT - NOTE_BYTES
_NUMBER_AT = _NOTE_AT - _NUMBER.size
MAX_TEXT = _NUMBER_AT - _TEXT_AT
"""Bytes of what tells a request; longer text is cut."""
NO_ENGINE = 0xFFFF


class End(NamedTuple):
    """How a request ended: its outcome's number, tokens, nano-dollars, milliseconds."""

    outcome: int
    estimated: bool
    prompt: int
    cached: int
    completion: int
    cost: int
    total_ms: float


class Kept(NamedTuple):
    """What a slot holds. `place` is where it lies; `way` is 0 where the audit does not want it,
    else one more than a place in `WAYS`; `number` counts ends, and is 0 where there is none."""

    place: int
    entry: Entry
    way: int
    number: int


WAYS = ("", "/v1/chat/completions", "/v1/completions", "/invoke")
"""To which address requests come: only append."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose slots these are: the replica's name and the names of its engines by number."""

    replica: str
    engines: tuple[str, ...]


class SlotView:
    """Slots that a process of ours writes, mapped to be read."""

    _map: "bytes | mmap.mmap"
    owner: Owner

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is of the file; with it comes its lock."""
        self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        self.owner = _owner_of(self._map[:_HEAD]) or Owner("", ())

    def entries(self, slots: Sequence[int]) -> list[Entry]:
        """Return the entries of settled slots."""
        return [_read(self._map, at, self.owner) for at in slots]

    def kept(self, slots: Sequence[int]) -> list[Kept]:
        """Return all that settled slots hold."""
        return [_kept(self._map, at, self.owner) for at in slots]


class SlotFile(SlotView):
    """The slots of this process; the file is locked as long as it lives."""

    _map: mmap.mmap

    def __init__(self, path: Path, owner: Owner) -> None:
        """Make the file.

        Raises:
            MachineError: it cannot be made here.
        """
        self.path, self.owner = path, owner
        head = _MAGIC + json.dumps([owner.replica, *owner.engines]).encode()
        if len(head) > _HEAD:
            raise MachineError("the engines' names are too long for a slot file")
        draft = path.with_name(f".{path.name}")  # seen by others only when it is locked
        try:
            self.descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            os.truncate(self.descriptor, _HEAD + SLOTS * SLOT)
            self._map = mmap.mmap(self.descriptor, 0)
            self._map[: len(head)] = head
            os.rename(draft, path)
        except OSError as error:
            raise MachineError(
                "the usage journal cannot be written", why=str(error), where=str(path.parent)
            ) from None
        self._free = list(range(_HEAD + (SLOTS - 1) * SLOT, _HEAD - 1, -SLOT))
        self.settled: list[int] = []
        self.numbered = False
        """Whether ends are numbered in their order, so that the audit knows which it has."""
        self._number = 0

    def admit(
        self,
        text: bytes,
        prompt: int,
        price: Price,
        admitted_s: float,
        kind: int = 0,
        way: int = 0,
    ) -> int:
        """Take a slot; returns its number.

        `text` is `request id \\0 tenant \\0 key id \\0 model \\0 adapter`; `prompt` is the best
        estimate of the prompt's tokens; `kind` is a number of `KINDS`; `way` as in `Kept`.

        Raises:
            StoreUnavailable: all slots are taken, because the database has not been reached for
                long: the request must be refused, for it could not be accounted for.
        """
        if not self._free:
            raise StoreUnavailable("usage cannot be recorded now", why="the database is behind")
        at = self._free.pop()
        buffer = self._map
        size = len(text)
        if size > MAX_TEXT:
            text, size = text[:MAX_TEXT], MAX_TEXT
        _BEGIN.pack_into(
            buffer,
            at + _ADMIT_AT,
            kind,
            0,
            way,
            prompt,
            price.prompt,
            price.cached,
            price.completion,
            admitted_s,
            size,
            NO_ENGINE,
            0,
            0.0,
        )
        buffer[at + _TEXT_AT : at + _TEXT_AT + size] = text
        buffer[at] = _OPEN
        return at

    def relabel(self, at: int, identity: bytes, price: Price) -> int:
        """Move a request to another slot, where it is one for another model; returns its number.

        `identity` is `model \\0 adapter`. For an instant both slots are taken: whoever finds them
        after a crash keeps one line a request. Where no other is free it stays what it was.
        """
        if not self._free:
            return at
        told = _ADMIT.unpack_from(self._map, at + _ADMIT_AT)
        kind, _, way, prompt, _, _, _, admitted_s, size = told
        who = self._map[at + _TEXT_AT : at + _TEXT_AT + size].split(b"\0")[:3]
        note = self.noted(at)
        moved = self.admit(b"\0".join((*who, identity)), prompt, price, admitted_s, kind, way)
        self.note(moved, note)
        self.free([at])
        return moved

    def asked(self, at: int, engine: int) -> None:
        """Note which engine was asked."""
        _ENGINE.pack_into(self._map, at + _RUN_AT, engine)

    def engine(self, at: int) -> int:
        """Return the number of the engine that was asked last."""
        number: int = _ENGINE.unpack_from(self._map, at + _RUN_AT)[0]
        return number

    def passed(self, at: int, events: int) -> None:
        """Note how many events have gone to the client."""
        _EVENTS.pack_into(self._map, at + _EVENTS_AT, events)

    def note(self, at: int, raw: bytes) -> None:
        """Keep a note (UTF-8) in place of the one there was; what is beyond 96 bytes is cut."""
        raw = raw.replace(b"\0", b" ")  # which PostgreSQL does not take
        buffer, size = self._map, min(len(raw), NOTE_BYTES)
        buffer[at + _NOTED_AT] = 0
        buffer[at + _NOTE_AT : at + _NOTE_AT + size] = raw[:size]
        buffer[at + _NOTED_AT] = size

    def noted(self, at: int) -> bytes:
        """Return the note, empty where there is none."""
        return _note_of(self._map, at)

    def count(self, at: int, end: End) -> None:
        """Note the engine's own count before its last bytes are passed on."""
        _END.pack_into(self._map, at + _END_AT, *end)
        self._map[at] = _COUNTED

    def settle(self, at: int, end: End) -> None:
        """Note the end; the entry is complete."""
        buffer = self._map
        _END.pack_into(buffer, at + _END_AT, *end)
        if self.numbered:
            self._number = number = self._number + 1
            _NUMBER.pack_into(buffer, at + _NUMBER_AT, number)
        buffer[at] = _SETTLED
        self.settled.append(at)

    def first_byte(self, at: int, ttft_ms: float) -> None:
        """Note when the client got its first bytes."""
        _FLOAT.pack_into(self._map, at + _EVENTS_AT + 4, ttft_ms)

    def raw(self, slots: Sequence[int]) -> bytes:
        """Return the bytes of slots, to be kept in a spill file."""
        return b"".join(self._map[at : at + SLOT] for at in slots)

    def free(self, slots: list[int]) -> None:
        """Give slots back; their entries are safe elsewhere."""
        buffer = self._map
        for at in slots:
            buffer[at] = _FREE
        self._free.extend(slots)

    @property
    def has_room(self) -> bool:
        """Whether many slots are free."""
        return len(self._free) > SLOTS // 4

    @property
    def open(self) -> int:
        """Slots in use."""
        return SLOTS - len(self._free)

    def remove(self) -> None:
        """Delete the file; all entries must be safe."""
        self.path.unlink(missing_ok=True)
        self.let_go()

    def let_go(self) -> None:
        """Close the file and its lock, and leave it where it is, as a process does that dies."""
        self._map.close()
        os.close(self.descriptor)


def spill(path: Path, owner: Owner, raw: bytes) -> None:
    """Append raw slots to a spill file and see them onto the disk."""
    new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        if new:
            head = _MAGIC + json.dumps([owner.replica, *owner.engines]).encode()
            raw = head.ljust(_HEAD, b"\0") + raw
        left = memoryview(raw)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_slots(path: Path) -> tuple[Owner, list[Entry]]:
    """Return the entries of what another process left behind; see the top of this file."""
    owner, left = read_kept(path)
    return owner, [each.entry for each in left]


def read_kept(path: Path) -> tuple[Owner, list[Kept]]:
    """Return all that another process left behind."""
    data = path.read_bytes()
    owner = _owner_of(data[:_HEAD])
    if owner is None:
        return Owner("", ()), []
    return owner, list(_all(data, owner))


def _owner_of(head: bytes) -> Owner | None:
    head = head.rstrip(b"\0")
    if not head.startswith(_MAGIC):
        return None
    replica, *engines = json.loads(head[len(_MAGIC) :])
    return Owner(replica, tuple(engines))


def _all(data: bytes, owner: Owner) -> Iterator[Kept]:
    for at in range(_HEAD, len(data) - SLOT + 1, SLOT):
        if data[at] != _FREE:
            yield _kept(data, at, owner)


def _kept(data: "bytes | mmap.mmap", at: int, owner: Owner) -> Kept:
    number = _NUMBER.unpack_from(data, at + _NUMBER_AT)[0] if data[at] == _SETTLED else 0
    return Kept(at, _read(data, at, owner), data[at + _WAY_AT], number)


def _read(data: "bytes | mmap.mmap", at: int, owner: Owner) -> Entry:
    told = _ADMIT.unpack_from(data, at + _ADMIT_AT)
    kind, _, _, prompt, dear, cheap, each, admitted_s, size = told
    engine, events, ttft_ms = _RUN.unpack_from(data, at + _RUN_AT)
    text = bytes(data[at + _TEXT_AT : at + _TEXT_AT + size]).decode(errors="ignore")
    # A text that was cut lacks its end.
    request_id, tenant, key_id, model, adapter = (*text.split("\0"), "", "", "", "")[:5]
    if data[at] in (_COUNTED, _SETTLED):
        number, estimated, prompt, cached, completion, cost, total_ms = _END.unpack_from(
            data, at + _END_AT
        )
        outcome = OUTCOMES[number]
    else:
        outcome, estimated, cached, total_ms = "gateway_died", True, 0, 0.0
        prompt = prompt if engine != NO_ENGINE else 0
        completion = max(0, events - 1)  # the first event carries the role, not a token
        cost = Price(dear, cheap, each).cost(prompt, 0, completion)
    if KINDS[kind] in UNBILLED:
        cost = 0
    name = owner.engines[engine] if engine < len(owner.engines) else ""
    return Entry(
        request_id,
        admitted_s,
        tenant,
        key_id,
        model,
        adapter,
        name,
        outcome,
        prompt,
        cached,
        completion,
        bool(estimated),
        cost,
        ttft_ms,
        total_ms,
        owner.replica,
        KINDS[kind],
        _note_of(data, at).decode(errors="ignore"),
    )


def _note_of(data: "bytes | mmap.mmap", at: int) -> bytes:
    return bytes(data[at + _NOTE_AT : at + _NOTE_AT + data[at + _NOTED_AT]])
