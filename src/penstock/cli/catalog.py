"""`penstock catalog`: the figures a plan rests on, their sources, and fresh prices."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from penstock.catalog.catalogue import HOME_REGION, Catalogue, load
from penstock.catalog.records import STALE_AFTER_DAYS
from penstock.cli.catalog_tables import TABLES, table
from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.cli.planning import (
    prices_file,
    refreshed_prices,
    refreshed_spot,
    save_rows,
    spot_file,
)
from penstock.ground.errors import UserError
from penstock.ground.wording import near_names, numbered
from penstock.wiring.aws import read_prices, read_spot_savings


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    SHOW = "show"
    REFRESH = "refresh"


Name = Annotated[
    str | None, typer.Argument(help=f"With `list`: {', '.join(TABLES)}; with `show`: any name.")
]
Regions = Annotated[
    list[str] | None, typer.Option("--region", help="Region to refresh; several may be given.")
]
Now = Annotated[
    datetime | None,
    typer.Option("--today", formats=["%Y-%m-%d"], help="The day that figures are judged on."),
]


def command(
    action: Annotated[Action, typer.Argument(help="`list`, `show` one, or `refresh` prices.")],
    name: Name = None,
    regions: Regions = None,
    today: Now = None,
    as_json: AsJson = False,
) -> int:
    """Show the figures a plan rests on and where they are from, or refresh the prices.

    `refresh` asks the AWS Price List API with your credentials and keeps what it finds for you.
    Figures older than 90 days are marked `old`, those that nobody compared with a source `*`.
    """
    day = (today or datetime.now(UTC)).date()
    if action is Action.REFRESH:
        return _refresh(regions or [HOME_REGION], day, as_json=as_json)
    catalogue = load(refreshed_prices(), refreshed_spot())
    if action is Action.LIST:
        _list(catalogue, name or "instances", day, as_json=as_json)
    elif name is None:
        raise UserError("show what?", fix="Try `penstock catalog list`.")
    else:
        _show(catalogue, name, day, as_json=as_json)
    return ExitCode.OK


def _refresh(regions: Sequence[str], today: date, *, as_json: bool) -> int:
    instances = [each.name for each in load().instances.values() if not each.unsupported]
    fresh = list(read_prices(instances, regions, today, note))
    rows = {(row["instance"], row["region"]): row for row in (*refreshed_prices(), *fresh)}
    save_rows(prices_file(), list(rows.values()))
    machines = {
        (row["instance"], row["region"]): row["usd_per_hour"]
        for row in fresh
        if not row["instance"].startswith("ml.")
    }
    now = datetime.combine(today, datetime.now(UTC).timetz())
    spot = list(read_spot_savings(machines, now, note))
    kept = {(row["instance"], row["region"]): row for row in (*refreshed_spot(), *spot)}
    save_rows(spot_file(), list(kept.values()))
    told = {"prices": len(fresh), "spot": len(spot), "regions": list(regions)}
    if as_json:
        print_json(told | {"folder": str(prices_file().parent)})
    else:
        print_text(
            f"{numbered(len(fresh), 'price')} and {numbered(len(spot), 'spot saving')} of "
            f"{', '.join(regions)} as of "
            f"{today}, in {prices_file().parent}"
        )
    return ExitCode.OK if fresh else ExitCode.FAILED


def _list(catalogue: Catalogue, kind: str, today: date, *, as_json: bool) -> None:
    if kind not in TABLES:
        raise UserError(f"the catalogue has no {kind}", fix=f"It has: {', '.join(TABLES)}.")
    if as_json:
        known: Mapping[object, Any] = getattr(catalogue, kind)
        print_json(
            [_plain(value) | {"key": " ".join(_words(key))} for key, value in known.items()]
        )
        return
    rows = list(table(catalogue, kind, today))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print_text("  ".join(cells).rstrip())


def _show(catalogue: Catalogue, name: str, today: date, *, as_json: bool) -> None:
    found = {kind: rows for kind in TABLES if (rows := _named(catalogue, kind, name))}
    shape = catalogue.find_model(name)
    if shape:
        dated = _plain(catalogue.model_dates[shape.id])
        found["models"] = [_plain(shape) | {"parameters": shape.parameters, "dated": dated}]
    if not found:
        near = near_names(name, (*catalogue.model_names.values(), *_all_names(catalogue)))
        fix = near or f"See `penstock catalog list` with {', '.join(TABLES)}."
        raise UserError(f"the catalogue has nothing called {name}", fix=fix)
    if as_json:
        print_json(found)
        return
    for kind, rows in found.items():
        for row in rows:
            if kind == "spot":
                off, taken = f"{row['saving']:.0%}", row["interruption"]
                dated = row["dated"]["as_of"]
                print_text(f"spot  {row['region']:16} {off} off, taken away {taken} ({dated})")
                continue
            print_text(kind)
            for key, value in row.items():
                print_text(f"  {key:20} {_told(catalogue, value, today)}")


def _named(catalogue: Catalogue, kind: str, name: str) -> list[dict[str, Any]]:
    names = {name, name.removeprefix("ml."), f"ml.{name}"}
    known: Mapping[object, Any] = getattr(catalogue, kind)
    return [_plain(value) for key, value in known.items() if names & set(_words(key))]


def _all_names(catalogue: Catalogue) -> list[str]:
    """Return every name that `show` takes, but for those of models."""
    keys = (key for kind in TABLES for key in getattr(catalogue, kind))
    return sorted({word for key in keys for word in _words(key)})


def _words(key: object) -> tuple[str, ...]:
    return key if isinstance(key, tuple) else (str(key),)


def _plain(value: Any) -> dict[str, Any]:
    """A row as plain data, dates as text."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(value), default=str))
    return plain


def _told(catalogue: Catalogue, value: Any, today: date) -> str:
    if isinstance(value, dict) and set(value) == {"source", "as_of"}:
        source = catalogue.sources[value["source"]]
        days = (today - date.fromisoformat(value["as_of"])).days
        old = f", {days} days old" if days > STALE_AFTER_DAYS else ""
        checked = f"checked {source.checked}" if source.checked else "not checked *"
        return f"{value['as_of']}{old}; {source.title}; {source.url}; {checked}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(catalogue, each, today)}" for key, each in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
