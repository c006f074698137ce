"""`penstock usage`: what it writes."""

import csv
import io

from penstock.cli.usage import _write_csv


def test_names_that_clients_choose_are_no_formulas() -> None:
    names = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "plain", "a=b", "line\nline"]
    file = io.StringIO(newline="")
    entries = ({"model": name, "cost_nano_usd": -1} for name in names)
    assert _write_csv(entries, file) == len(names)
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert [row["model"].removeprefix("'") for row in rows] == names
    assert [row["model"][0] == "'" for row in rows] == [True] * 5 + [False] * 3
    assert {row["cost_nano_usd"] for row in rows} == {"-1"}
