"""What planning commands keep: refreshed prices, and what was measured on a machine.

Both are the user's: `prices.json` and `calibration.json` in `~/.config/penstock`, or in
`PENSTOCK_CONFIG`.
"""

import json
import os
from pathlib import Path
from typing import Any

from penstock.ground.errors import UserError


def prices_file() -> Path:
    """Where `penstock catalog refresh` keeps its prices."""
    return _config() / "prices.json"


def calibration_file() -> Path:
    """Where `penstock calibrate` keeps what it found."""
    return _config() / "calibration.json"


def hub_cache() -> Path:
    """Where the Hugging Face libraries keep what they fetched."""
    home = os.environ.get("HF_HOME", str(Path.home() / ".cache" / "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE", str(Path(home) / "hub")))


def spot_file() -> Path:
    """Where `penstock catalog refresh` keeps what spot saves."""
    return prices_file().with_name("spot.json")


def refreshed_spot() -> list[dict[str, Any]]:
    """The spot rows of the last refresh; none before the first."""
    return _rows(spot_file())


def refreshed_prices() -> list[dict[str, Any]]:
    """The price rows of the last refresh; none before the first."""
    return _rows(prices_file())


def local_fits() -> list[dict[str, Any]]:
    """What `penstock calibrate` found; none before the first."""
    return _rows(calibration_file())


def save_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write `rows` to `file`, one a line, as a whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")
    draft.replace(file)


def _config() -> Path:
    given = os.environ.get("PENSTOCK_CONFIG")
    return Path(given) if given else Path.home() / ".config" / "penstock"


def _rows(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    try:
        rows: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        fix = "Delete it: it is made anew."
        raise UserError(f"{file} is damaged", why=str(error), fix=fix) from error
    return rows
