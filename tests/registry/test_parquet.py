"""The ledger as a Parquet file: every column with its type, as the entries have it."""

import itertools
from pathlib import Path

import pyarrow.parquet as pq

from penstock.registry import parquet
from penstock.registry.entries import Entry
from penstock.registry.stores.tables import ledger


def entry(number: int) -> Entry:
    return Entry(
        f"req-{number}", 1000.5 + number, "org-a", "key-1", "model", "", "engine", "complete",
        7, 2, 3, False, 13_000 + number, 0.25, 12.5, "gw", note="naïve \u2713",
    )  # fmt: skip


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = [entry(number)._asdict() for number in range(3)]
    file = tmp_path / "usage.parquet"
    assert parquet.write(written, file) == 3
    assert pq.read_table(file).to_pylist() == written


def test_more_than_one_group_of_rows_is_written(tmp_path: Path) -> None:
    file = tmp_path / "usage.parquet"
    many = (entry(number)._asdict() for number in itertools.count())
    assert parquet.write(itertools.islice(many, 25_000), file) == 25_000
    assert pq.ParquetFile(file).num_row_groups == 3
    costs = pq.read_table(file, columns=["cost_nano_usd"]).column(0).to_pylist()
    assert costs == list(range(13_000, 38_000))


def test_an_empty_ledger_is_a_file_with_columns(tmp_path: Path) -> None:
    file = tmp_path / "usage.parquet"
    assert parquet.write([], file) == 0
    assert pq.read_table(file).column_names == list(Entry._fields)


def test_the_columns_are_those_of_the_ledger() -> None:
    assert parquet.SCHEMA.names == list(ledger.columns.keys()) == list(Entry._fields)
