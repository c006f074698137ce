"""Whether an audit is whole: no line altered, removed, moved or added, none missing at the end.

Without a key the hashes alone are checked; whoever can write the files could make them anew. With
the key every sealed line is opened, and the heads must bear its mark: that cannot be forged.
"""

from dataclasses import dataclass, field

from penstock.ground.errors import UserError
from penstock.registry.audit.chain import START, Head, Line, head_bytes
from penstock.registry.audit.reading import Chains, Found, Keys, entry_in
from penstock.registry.audit.sealing import Seal


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: in which chain, segment and line of it (0: none in particular)."""

    chain: str
    segment: int
    row: int
    what: str


@dataclass(slots=True)
class Report:
    """What was found. `newer`: lines written since the heads were."""

    findings: list[Finding] = field(default_factory=list)
    chains: int = 0
    lines: int = 0
    entries: int = 0
    sealed: int = 0
    opened: int = 0
    newer: int = 0
    heads: dict[str, str] = field(default_factory=dict)


def verify(chains: Chains, keys: Keys) -> Report:
    """Check every chain.

    Raises:
        StoreUnavailable: it cannot be read.
    """
    report = Report()
    walks = {name: _Walk(name, chains, keys, report) for name in sorted(chains.segments)}
    named = _parents(chains)
    for name, walk in walks.items():
        walk.walk(frozenset(hash_ for chain, hash_ in named if chain == name))
    for (chain, hash_), child in sorted(named.items()):
        if chain not in walks:
            report.findings.append(Finding(chain, 0, 0, f"the chain is missing: {child} names it"))
        elif hash_ not in walks[chain].seen and walks[chain].is_closed:
            what = f"the line that {child} names is missing"
            report.findings.append(Finding(chain, 0, 0, what))
    report.chains = len(walks)
    return report


def _parents(chains: Chains) -> dict[tuple[str, str], str]:
    named: dict[tuple[str, str], str] = {}
    for child in chains.segments:
        first = next(chains.lines(child), None)
        line = first.line if first else None
        told = (line.segment or {}).get("parents", {}) if line else {}
        head = chains.head(child)
        told = {**(head.parents if head else {}), **(told if isinstance(told, dict) else {})}
        named.update({(str(chain), str(hash_)): child for chain, hash_ in told.items()})
    return named


class _Walk:
    """Follows one chain from its first line to its last."""

    def __init__(self, chain: str, chains: Chains, keys: Keys, report: Report) -> None:
        self._chain, self._chains, self._keys, self._report = chain, chains, keys, report
        self._n, self._hash = 0, START
        self._last: Found | None = None
        self._segment = 0
        self._seals: dict[int, Seal] = {}
        self.seen: set[str] = set()
        self._head = chains.head(chain)
        self.is_closed = self._head is not None and self._head.closed

    def walk(self, wanted: frozenset[str]) -> None:
        """Check it all; `seen` holds afterwards which of the hashes `wanted` there are."""
        head_hash = None
        for found in self._chains.lines(self._chain):
            if found.torn:
                continue
            self._report.lines += 1
            if found.segment != self._segment:
                self._enter(found)
            if found.line is None:
                self._find(found, "this line cannot be read")
            else:
                self._follow(found, found.line)
            if found.hash in wanted:
                self.seen.add(found.hash)
            if self._head is not None and self._n == self._head.n:
                head_hash = self._hash
        self._check_head(self._head, head_hash)
        self._report.heads[self._chain] = self._hash

    def _enter(self, found: Found) -> None:
        for number in range(self._segment + 1, found.segment):
            self._find(Found(number, 0, "", None), "this segment is missing")
        self._segment = found.segment
        header = found.line.segment if found.line else None
        if found.line is None or header is None:
            self._find(found, "the segment does not begin with its header")
            return
        if (header.get("chain"), header.get("number")) != (self._chain, found.segment):
            self._find(found, "this segment belongs elsewhere")
            return
        try:
            seal = self._keys.of(self._chain, found.line)
        except UserError as error:
            self._find(found, str(error))
            return
        if seal is not None:
            self._seals[found.segment] = seal

    def _follow(self, found: Found, line: Line) -> None:
        due = self._n + 1
        if line.n > due:
            what = f"line {due}" if line.n == due + 1 else f"lines {due} to {line.n - 1}"
            self._find(found, f"{what} of the chain should stand before this: removed, or moved")
        elif line.n < due:
            self._find(found, f"line {line.n} of the chain stands where {due} is due")
        elif line.prev != self._hash:
            self._find(self._last or found, "this line was altered: the next one's hash differs")
        self._n, self._hash, self._last = line.n, found.hash, found
        if line.segment is None and line.closed is None:
            self._report.entries += 1
            self._open(found, line)

    def _open(self, found: Found, line: Line) -> None:
        if not line.box:
            return
        self._report.sealed += 1
        seal = self._seals.get(found.segment)
        if seal is None:
            return
        self._report.opened += 1
        if entry_in(line, seal) is None:
            self._find(found, "this line cannot be opened: altered, moved, or of another writer")

    def _check_head(self, head: Head | None, hash_: str | None) -> None:
        end = Found(self._segment, self._last.row if self._last else 0, "", None)
        if head is None:
            self._find(end, "the head of the chain is missing, or cannot be read")
        elif head.n > self._n:
            self._find(end, f"lines {self._n + 1} to {head.n} are missing from the end")
        elif hash_ != head.hash:
            self._find(end, f"line {head.n} is not the one that the head tells")
        else:
            self._report.newer += self._n - head.n
            seal = self._seals.get(head.segment)
            if seal is not None and seal.mac(head_bytes(head)) != head.mac:
                self._find(end, "the head was not written by who has the key")

    def _find(self, found: Found, what: str) -> None:
        self._report.findings.append(Finding(self._chain, found.segment, found.row, what))
