"""`penstock usage`: what was used, as a table or as a file."""

import csv
import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from penstock.cli.address import Url
from penstock.cli.admin_client import AdminClient, AdminKey, find_admin
from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.ground.errors import UserError
from penstock.ground.wording import numbered
from penstock.wiring.exports import write_parquet


class Format(StrEnum):
    """How entries are exported."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


By = Annotated[
    str,
    typer.Option(
        "--by", help="Groups: tenant, key_id, model, adapter, engine, outcome, kind, day."
    ),
]
Since = Annotated[str | None, typer.Option("--since", help="First UTC day, as 2026-11-01.")]
Until = Annotated[str | None, typer.Option("--until", help="First UTC day that is left out.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Of this tenant alone.")]
Export = Annotated[
    Format | None, typer.Option("--export", help="Write the entries themselves, one a request.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="File to export to; stdout else.")
]


def command(  # noqa: PLR0913, PLR0917  one parameter an option
    by: By = "tenant,model,kind",
    since: Since = None,
    until: Until = None,
    tenant: Tenant = None,
    export: Export = None,
    output: Output = None,
    url: Url = None,
    admin_key: AdminKey = None,
    as_json: AsJson = False,
) -> int:
    """Show what was used, or export the ledger's entries.

    Without --since it is the last 31 days. With --json, stdout carries {"data": [...]}: one
    object a group.
    """
    client = find_admin(url, admin_key)
    given = {"since": since, "until": until, "tenant": tenant}
    query = {name: value for name, value in given.items() if value}
    if export is not None:
        count = _export(_entries(client, query), export, output)
        note(numbered(count, "entry", "entries"))
        return ExitCode.OK
    answer = client.ask("GET", "/usage", query={**query, "group_by": by})
    if as_json:
        print_json(answer)
        return ExitCode.OK
    rows = answer["data"]
    _show(rows if isinstance(rows, list) else [])
    return ExitCode.OK


def _show(rows: list[dict[str, object]]) -> None:
    if not rows:
        note("Nothing was used.")
        return
    cells = [list(rows[0]), *([_cell(*item) for item in row.items()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print_text("  ".join(padded).rstrip())


def _cell(name: str, value: object) -> str:
    return f"{value:.6f}" if name == "usd" else str(value) or "-"


def _entries(client: AdminClient, query: dict[str, str]) -> Iterator[dict[str, object]]:
    after: dict[str, str] = {}
    while True:
        page = client.ask("GET", "/usage/entries", query={**query, **after})
        rows = page["data"]
        yield from rows if isinstance(rows, list) else []
        if not page["next"]:
            return
        after = {"after": str(page["next"])}


def _export(entries: Iterator[dict[str, object]], form: Format, output: Path | None) -> int:
    if form is Format.PARQUET:
        if output is None:
            raise UserError("Parquet needs a file", fix="Give --output FILE")
        return write_parquet(entries, output)
    write = _write_json if form is Format.JSON else _write_csv
    if output is None:
        return write(entries, sys.stdout)
    with output.open("w", encoding="utf-8", newline="") as file:
        return write(entries, file)


def _write_json(entries: Iterator[dict[str, object]], file: TextIO) -> int:
    count = 0
    for entry in entries:
        file.write(f"{json.dumps(entry)}\n")
        count += 1
    return count


def _write_csv(entries: Iterator[dict[str, object]], file: TextIO) -> int:
    count, writer = 0, None
    for entry in entries:
        if writer is None:
            writer = csv.DictWriter(file, list(entry))
            writer.writeheader()
        writer.writerow({name: _harmless(value) for name, value in entry.items()})
        count += 1
    return count


def _harmless(value: object) -> object:
    """Return what a spreadsheet takes for text: clients choose the names that they are refused."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
