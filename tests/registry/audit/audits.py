"""Audits made by hand: chains in a folder, as an archivist writes them."""

from pathlib import Path

import msgspec

from penstock.registry.audit.archivist import CHAINS
from penstock.registry.audit.chain import ChainWriter, orphans
from penstock.registry.audit.reading import Chains, Folder, Keys
from penstock.registry.audit.records import AuditEntry
from penstock.registry.audit.sealing import KeyWrapper, LocalKey
from penstock.registry.audit.verify import Report, verify

KEY = bytes(range(32))


def wrapper() -> LocalKey:
    return LocalKey(KEY)


def write_chain(
    root: Path, name: str, segments: tuple[int, ...], key: KeyWrapper | None = None
) -> Path:
    """Write a chain with so many entries in each segment; the last one is left open."""
    chains = root / CHAINS
    chains.mkdir(exist_ok=True)
    chain = ChainWriter(chains / name, None, orphans(chains), key)
    count = 0
    for number, size in enumerate(segments):
        chain.begin(1000.0 + number)
        entries = []
        for _ in range(size):
            count += 1
            request_id, note = f"req-{name}-{count}", f"note {count}"
            entry = AuditEntry(1000.0 + count, "request", request_id, tenant="alice", note=note)
            entries.append(((1, 1, 64 * count), msgspec.json.encode(entry)))
        if entries:
            chain.write(entries)
        chain.write_head()
        if number < len(segments) - 1:
            chain.end(2000.0 + number)
    return chains / name


def check(root: Path, key: KeyWrapper | None = None) -> Report:
    """Verify what is in a folder."""
    return verify(Chains(Folder(root)), Keys(key))
