"""What a whole run of the tests leaves behind holds no key of a client."""

import re
from pathlib import Path

KEY = re.compile(rb"ps-(?:[a-z]+-secret|[A-Za-z0-9_-]{43})(?![A-Za-z0-9_-])")
"""The keys that the tests ask with, and those that are made."""
KEPT = (".db", ".db-wal", ".slots", ".spill", ".unaudited", ".spool", ".jsonl", ".open", ".log")
"""How files end in which something is kept: databases, journals, audits, logs."""


def keys_in(root: Path) -> list[str]:
    """Return the files below `root` in which a key lies, each with that key."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.name.endswith(KEPT) and path.is_file() and not path.is_symlink():
            match = KEY.search(path.read_bytes())
            if match:
                found.append(f"{path}: {match.group().decode()}")
    return found
