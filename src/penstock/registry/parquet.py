"""Ledger entries as a Parquet file; needs the extra `penstock[parquet]`."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS = 10_000
SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("admitted_s", pa.float64()),
        *(
            (name, pa.string())
            for name in ("tenant", "key_id", "model", "adapter", "engine", "outcome")
        ),
        *((name, pa.int64()) for name in ("prompt_tokens", "cached_tokens", "completion_tokens")),
        ("estimated", pa.bool_()),
        ("cost_nano_usd", pa.int64()),
        ("ttft_ms", pa.float64()),
        ("total_ms", pa.float64()),
        *((name, pa.string()) for name in ("replica", "kind", "note")),
    ]
)


def write(entries: Iterable[dict[str, object]], path: Path) -> int:
    """Write entries to `path`; returns how many."""
    count, rest = 0, iter(entries)
    with pq.ParquetWriter(path, SCHEMA) as writer:
        while rows := list(islice(rest, _ROWS)):
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
            count += len(rows)
    return count
