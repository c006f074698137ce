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

import json
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from penstock.ground.errors import MachineError, NoRoom
from penstock.registry.entries import END, KINDS, NOTE_BYTES, OUTCOMES, UNBILLED, End, Entry
from penstock.registry.pricing import cost_of
from penstock.registry.records import Price
from penstock.registry.room import map_locked

SLOTS: Final = 16_384
SLOT: Final = 512
_HEAD: Final = 16_384
_MAGIC = b"penstock slots 1\n"
_FREE: Final = 0
_OPEN: Final = 1
_COUNTED: Final = 2
_SETTLED: Final = 3

# At admission: kind, length of the note (none yet), way, prompt estimate, prices, admitted_s,
# length and text of `request id\0identity`.
_ADMIT = struct.Struct("<BBBI3QdH")
# While it runs: engine number, events passed on, ttft.
_RUN = struct.Struct("<HIf")
_PRICES: Final = struct.Struct("<3Q")
_ADMIT_AT: Final = 1
_NOTED_AT: Final = 2
_WAY_AT: Final = 3
_PROMPT_AT: Final = 4
_PRICES_AT: Final = 8
_ADMITTED_AT: Final = 32
_SIZE_AT: Final = 40
_RUN_AT: Final = 42
_EVENTS_AT: Final = 44
_TTFT_AT: Final = 48
_END_AT: Final = 52
_TEXT_AT: Final = 78
_NOTE_AT: Final = SLOT - NOTE_BYTES
_NUMBER_AT: Final = _NOTE_AT - 8
_pack_end: Final = END.pack
_WHOLE: Final = struct.Struct(f"<BBBBI24xdHHIfBBIIIQf{_NUMBER_AT - _TEXT_AT}xQ")
"""A slot, but for its texts, and for its prices, which matter only where there is no end."""
_new: Final = tuple.__new__  # a named tuple's own takes five times as long
MAX_TEXT: Final = _NUMBER_AT - _TEXT_AT
"""Bytes of what tells a request; longer text is cut."""
NO_ENGINE: Final = 0xFFFF
_DIED: Final = OUTCOMES.index("gateway_died")


class Kept:
    """What a slot holds. `place` is where it lies; `way` is 0 where the audit does not want it,
    else one more than a place in `WAYS`; `number` counts ends, and is 0 where there is none."""

    __slots__ = ("entry", "number", "place", "way")

    def __init__(self, place: int, entry: Entry, way: int, number: int) -> None:
        self.place, self.entry, self.way, self.number = place, entry, way, number


Names = tuple[str, str, str, str]
"""Tenant, key, model and adapter: many requests have the same, and share their texts."""


WAYS = ("", "/v1/chat/completions", "/v1/completions", "/invoke")
"""To which address requests come: only append."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose slots these are: the replica's name and the names of its engines by number."""

    replica: str
    engines: tuple[str, ...]


class SlotView:
    """Slots that a process of ours writes, mapped to be read."""

    _map: mmap.mmap
    owner: Owner

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is of the file; with it comes its lock."""
        self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        self.owner = _owner_of(self._map[:_HEAD]) or Owner("", ())

    def entries(self, slots: Sequence[int]) -> list[Entry]:
        """Return the entries of settled slots."""
        return [each.entry for each in self.kept(slots)]

    def kept(self, slots: Sequence[int]) -> list[Kept]:
        """Return all that settled slots hold."""
        known: dict[bytes, Names] = {}
        return [_kept(self._map, at, self.owner, known) for at in slots]


class SlotFile(SlotView):
    """The slots of this process; the file is locked as long as it lives."""

    def __init__(self, path: Path, owner: Owner) -> None:
        """Make the file.

        Raises:
            MachineError: it cannot be made here.
        """
        self.path, self.owner = path, owner
        head = _MAGIC + json.dumps([owner.replica, *owner.engines]).encode()
        if len(head) > _HEAD:
            raise MachineError("the engines' names are too long for a slot file")
        try:
            self.descriptor, self._map = map_locked(path, _HEAD + SLOTS * SLOT, head)
        except OSError as error:
            raise MachineError(
                "the usage journal cannot be written",
                why=error.strerror or str(error),
                fix=f"It needs {SLOTS * SLOT >> 20} MiB on a disk that can be written to.",
                where=str(path.parent),
            ) from None
        # Numbers that lie where numbers of their size may: `pack_into` takes five times as long.
        self._shorts = memoryview(self._map).cast("H")
        self._words = memoryview(self._map).cast("I")
        self._numbers = memoryview(self._map).cast("Q")
        self._floats = memoryview(self._map).cast("f")
        self._doubles = memoryview(self._map).cast("d")
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
        Raises as `begin` does.
        """
        return self.begin(opening_of(price, kind, way), text, prompt, admitted_s)

    def begin(self, opening: bytes, text: bytes, prompt: int, admitted_s: float) -> int:
        """Do as `admit`, where what many requests have in common was put together before.

        Raises:
            NoRoom: all slots are taken, because what has ended is not in the database yet: the
                request must wait, or be refused, for it could not be accounted for.
        """
        if not self._free:
            raise NoRoom("usage cannot be recorded now", why="the database is behind")
        at = self._free.pop()
        buffer = self._map
        size = len(text)
        if size > MAX_TEXT:
            text, size = text[:MAX_TEXT], MAX_TEXT
        buffer[at + _ADMIT_AT : at + _TEXT_AT + size] = opening + text
        self._words[(at + _PROMPT_AT) >> 2] = prompt
        self._doubles[(at + _ADMITTED_AT) >> 3] = admitted_s
        self._shorts[(at + _SIZE_AT) >> 1] = size
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
        self._shorts[(at + _RUN_AT) >> 1] = engine

    def engine(self, at: int) -> int:
        """Return the number of the engine that was asked last."""
        return self._shorts[(at + _RUN_AT) >> 1]

    def passed(self, at: int, events: int) -> None:
        """Note how many events have gone to the client."""
        self._words[(at + _EVENTS_AT) >> 2] = events

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
        self._map[at + _END_AT : at + _TEXT_AT] = _packed(end)
        self._map[at] = _COUNTED

    def settle(self, at: int, end: End) -> None:
        """Note the end; the entry is complete."""
        buffer = self._map
        buffer[at + _END_AT : at + _TEXT_AT] = _packed(end)
        if self.numbered:
            self._number = number = self._number + 1
            self._numbers[(at + _NUMBER_AT) >> 3] = number
        buffer[at] = _SETTLED
        self.settled.append(at)

    def first_byte(self, at: int, ttft_ms: float) -> None:
        """Note when the client got its first bytes."""
        self._floats[(at + _TTFT_AT) >> 2] = ttft_ms

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
    def room(self) -> float:
        """Share of slots that are free, 0 to 1."""
        return len(self._free) / SLOTS

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
        for view in (self._shorts, self._words, self._numbers, self._floats, self._doubles):
            view.release()
        self._map.close()
        os.close(self.descriptor)


def opening_of(price: Price, kind: int = 0, way: int = 0) -> bytes:
    """Return what `SlotFile.begin` takes: how a slot begins, but for what each has of its own."""
    told = _ADMIT.pack(kind, 0, way, 0, price.prompt, price.cached, price.completion, 0.0, 0)
    return told + _RUN.pack(NO_ENGINE, 0, 0.0) + bytes(END.size)


def _packed(end: End) -> bytes:
    prompt, cached, completion = end.prompt, end.cached, end.completion
    return _pack_end(
        end.outcome, end.estimated, prompt, cached, completion, end.cost, end.total_ms
    )


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
            written = os.write(descriptor, left)
            left = left[written:]
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
    known: dict[bytes, Names] = {}
    for at in range(_HEAD, len(data) - SLOT + 1, SLOT):
        if data[at] != _FREE:
            yield _kept(data, at, owner, known)


def _kept(data: "bytes | mmap.mmap", at: int, owner: Owner, known: dict[bytes, Names]) -> Kept:
    """Read a slot; `known` are names that were read before, as they lie in slots."""
    told: tuple[Any, ...] = _WHOLE.unpack_from(data, at)
    state: int
    engine: int
    size: int
    (
        state, kind, noted, way, prompt, admitted_s, size, engine, events, ttft_ms,
        outcome, estimated, counted, cached, completion, cost, total_ms, number,
    ) = told  # fmt: skip
    request_id, _, rest = data[at + _TEXT_AT : at + _TEXT_AT + size].partition(b"\0")
    names = known.get(rest)
    if names is None:
        names = known[rest] = _names_in(rest)
    tenant, key_id, model, adapter = names
    if state in (_COUNTED, _SETTLED):
        prompt = counted
    else:
        outcome, estimated, cached, total_ms = _DIED, True, 0, 0.0
        prompt = prompt if engine != NO_ENGINE else 0
        completion = max(0, events - 1)  # the first event carries the role, not a token
        price = Price(*_PRICES.unpack_from(data, at + _PRICES_AT))
        cost = cost_of(price, prompt, 0, completion)
    kinds = KINDS[kind]
    fields = (
        request_id.decode("utf-8", "ignore"), admitted_s, tenant, key_id, model, adapter,
        owner.engines[engine] if engine < len(owner.engines) else "", OUTCOMES[outcome],
        prompt, cached, completion, bool(estimated), cost if kinds not in UNBILLED else 0,
        ttft_ms, total_ms, owner.replica, kinds,
        _note_of(data, at).decode("utf-8", "ignore") if noted else "",
    )  # fmt: skip
    return Kept(at, _new(Entry, fields), way, number if state == _SETTLED else 0)


def _names_in(text: bytes) -> Names:
    names = text.decode("utf-8", "ignore").split("\0")
    tenant, key_id, model, adapter = (*names, "", "", "", "")[:4]  # what was cut lacks its end
    return tenant, key_id, model, adapter


def _note_of(data: "bytes | mmap.mmap", at: int) -> bytes:
    return bytes(data[at + _NOTE_AT : at + _NOTE_AT + data[at + _NOTED_AT]])
