"""Formats that need a library of their own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def write_parquet(entries: Iterable[dict[str, object]], path: Path) -> int:
    """Write ledger entries as Parquet; returns how many.

    Raises:
        MachineError: pyarrow is not installed.
    """
    from penstock.ground.errors import MachineError

    try:
        from penstock.registry import parquet
    except ImportError:
        raise MachineError(
            "Parquet needs pyarrow", fix="Install it: pip install 'penstock[parquet]'"
        ) from None
    return parquet.write(entries, path)
