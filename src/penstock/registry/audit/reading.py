"""Chains as they lie somewhere, read line by line."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from penstock.ground.errors import UserError
from penstock.registry.audit.chain import CLOSED, HEAD, OPEN, Head, Line
from penstock.registry.audit.links import hash_of
from penstock.registry.audit.sealing import KeyWrapper, Seal


class Place(Protocol):
    """Where chains lie: `<chain>/<file>` by name."""

    def names(self) -> Iterable[str]:
        """Return the names of all files."""

    def get(self, name: str) -> bytes:
        """Return a file."""


class Folder:
    """A folder of chains. Satisfies `Place`."""

    def __init__(self, folder: Path) -> None:
        """Take a folder of chains, or one with a folder `chains` in it.

        Raises:
            UserError: there is none.
        """
        self._folder = folder / "chains" if (folder / "chains").is_dir() else folder
        if not self._folder.is_dir():
            raise UserError(f"there is no audit in {folder}", why="it is no folder")

    def names(self) -> Iterable[str]:
        """Place: all files."""
        return [str(path.relative_to(self._folder)) for path in self._folder.glob("*/*")]

    def get(self, name: str) -> bytes:
        """Place: one file; a segment may have ended since it was named.

        Or it is gone: its writer died before the first line, or it was shipped. Then it has no
        lines, as if it had not been named: what is missing shows in what comes after it.
        """
        path = self._folder / name
        for each in (path, path.with_suffix(CLOSED)):
            with contextlib.suppress(FileNotFoundError):
                return each.read_bytes()
        return b""


class Found(NamedTuple):
    """A line at its place; `line` is none where it cannot be read."""

    segment: int
    row: int
    hash: str
    line: Line | None
    torn: bool = False
    """Whether it is the unfinished last line of a segment that is being written."""


class Chains:
    """All chains at a place."""

    def __init__(self, place: Place) -> None:
        """Look round. Heads are read first: what is written meanwhile is newer than they are.

        A chain that begins meanwhile is left out: its head would tell of what was not seen.
        """
        self._place = place
        self.segments: dict[str, dict[int, str]] = {}
        self._heads: dict[str, Head | None] = {}
        known: set[str] = set()
        for name in sorted(place.names()):
            chain, _, file = name.partition("/")
            known.add(chain)
            if file == HEAD:
                self._heads[chain] = self._read_head(name)
                self.segments[chain] = {}
        for name in sorted(place.names()):
            chain, _, file = name.partition("/")
            stem, dot, ending = file.partition(".")
            if dot + ending in (OPEN, CLOSED) and stem.isdigit():
                self.segments.setdefault(chain, {})[int(stem)] = name
            elif file == HEAD and chain not in self._heads:
                known.discard(chain)
        for chain in self.segments.keys() - known:
            del self.segments[chain]

    def _read_head(self, name: str) -> Head | None:
        try:
            return msgspec.json.decode(self._place.get(name), type=Head)
        except msgspec.DecodeError:
            return None

    def head(self, chain: str) -> Head | None:
        """Return a chain's head; none where there is none, or none that can be read."""
        return self._heads.get(chain)

    def lines(self, chain: str) -> Iterator[Found]:
        """Yield the lines of a chain, segment by segment."""
        for number, name in sorted(self.segments[chain].items()):
            rows = self._place.get(name).split(b"\n")
            last = rows.pop()
            for row, raw in enumerate(rows, 1):
                yield Found(number, row, hash_of(raw), _read(raw))
            if last:
                torn = name.endswith(OPEN)
                yield Found(number, len(rows) + 1, hash_of(last), None, torn)


def _read(raw: bytes) -> Line | None:
    try:
        return msgspec.json.decode(raw, type=Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Keys:
    """Opens what is sealed, as far as there is a key."""

    def __init__(self, wrapper: KeyWrapper | None) -> None:
        self._wrapper = wrapper

    def of(self, chain: str, header: Line) -> Seal | None:
        """Return what opens the lines of a segment; none if they are not sealed, or cannot be.

        Raises:
            UserError: there is a key, but not the right one.
            StoreUnavailable: KMS cannot be asked.
        """
        told = (header.segment or {}).get("key")
        if not isinstance(told, dict) or self._wrapper is None:
            return None
        number = (header.segment or {}).get("number", 0)
        return Seal(self._wrapper.open(told), chain, number)


def entry_in(line: Line, seal: Seal | None) -> bytes | None:
    """Return the JSON of the entry in a line; none where there is none, or it cannot be opened."""
    if line.box:
        return seal.open(line.n, line.prev, line.box) if seal else None
    return bytes(line.entry) or None


def entries(chains: Chains, keys: Keys) -> Iterator[bytes]:
    """Yield the JSON of every entry, chain by chain.

    Raises:
        UserError: what is sealed cannot be opened.
        StoreUnavailable: it cannot be read.
    """
    for chain in sorted(chains.segments):
        seal = None
        for found in chains.lines(chain):
            line = found.line
            if line is None or line.closed is not None:
                continue
            if line.segment is not None:
                seal = keys.of(chain, line)
                continue
            entry = entry_in(line, seal)
            if entry is None:
                raise UserError(
                    f"line {found.row} of segment {found.segment} of {chain} cannot be opened",
                    why="it is sealed" if seal is None else "it was altered, or moved",
                    fix="Give the key." if seal is None else "Try `penstock audit verify`.",
                )
            yield entry
