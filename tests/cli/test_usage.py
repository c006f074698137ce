"""`penstock usage`: what it writes."""

import csv
import io
import json
from pathlib import Path

import pytest

from penstock.cli.usage import Format, _export, _show, _write_csv


def test_names_that_clients_choose_are_no_formulas() -> None:
    names = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "plain", "a=b", "line\nline"]
    file = io.StringIO(newline="")
    entries = ({"model": name, "cost_nano_usd": -1} for name in names)
    assert _write_csv(entries, file) == len(names)
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert [row["model"].removeprefix("'") for row in rows] == names
    assert [row["model"][0] == "'" for row in rows] == [True] * 5 + [False] * 3
    assert {row["cost_nano_usd"] for row in rows} == {"-1"}


def test_the_table_is_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    _show(
        [
            {"tenant": "a" * 60, "model": "", "prompt_tokens": 123_456, "usd": 0.5},
            {"tenant": "b", "model": "m" * 60, "prompt_tokens": 0, "usd": 12.0},
        ]
    )
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["tenant", "model", "prompt_tokens", "usd"],
        ["a" * 60, "-", "123456", "0.500000"],
        ["b", "m" * 60, "0", "12.000000"],
    ]


def test_entries_are_exported_as_json(tmp_path: Path) -> None:
    entries: list[dict[str, object]] = [
        {"tenant": "org-ä", "estimated": False, "total_ms": 1.5},
        {"tenant": "=1"},
    ]
    path = tmp_path / "usage.jsonl"
    assert _export(iter(entries), Format.JSON, path) == 2
    assert [json.loads(line) for line in path.read_text().splitlines()] == entries
    assert _export(iter([]), Format.JSON, path) == 0
