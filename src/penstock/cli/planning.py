"""What planning commands keep: refreshed prices, and what was measured on a machine.

Prices are the user's (`~/.config/penstock/prices.json`, or `PENSTOCK_CONFIG`); measurements
belong to the project (`.penstock/calibration.json` beside the manifest).
"""

import json
import os
from pathlib import Path
from typing import Any

from penstock.ground.errors import UserError

CALIBRATION = Path(".penstock") / "calibration.json"


def prices_file() -> Path:
    """Where `penstock catalog refresh` keeps its prices."""
    folder = os.environ.get("PENSTOCK_CONFIG")
    if folder:
        return Path(folder) / "prices.json"
    return Path.home() / ".config" / "penstock" / "prices.json"


def refreshed_prices() -> list[dict[str, Any]]:
    """The price rows of the last refresh; none before the first."""
    return _rows(prices_file())


def local_fits(folder: Path) -> list[dict[str, Any]]:
    """What `penstock calibrate` found in `folder`; none before the first."""
    return _rows(folder / CALIBRATION)


def save_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write `rows` to `file`, one a line, as a whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")
    draft.replace(file)


def _rows(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    try:
        rows: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        fix = "Delete it: it is made anew."
        raise UserError(f"{file} is damaged", why=str(error), fix=fix) from error
    return rows
