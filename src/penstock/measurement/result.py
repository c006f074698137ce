"""The file that `penstock bench` writes and `penstock calibrate` reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from penstock.ground.errors import UserError
from penstock.measurement.summary import Spread, Summary

KIND, VERSION = "penstock-bench", 1
_TIMES = ("ttft_ms", "tpot_ms", "itl_ms", "latency_ms")


@dataclass(frozen=True, slots=True)
class Result:
    """A whole measurement. `manifest` has the sections that bear on speed, without secrets.

    `model` is the manifest's (what the shape is looked up by), `asked_as` the name in requests.
    `hardware` is empty where the endpoint is not on this machine and nobody said what it is.
    """

    at: str
    url: str
    model: str
    asked_as: str
    engine: str
    engine_version: str
    penstock: str
    manifest: Mapping[str, Any]
    hardware: Mapping[str, Any]
    runs: Sequence[Summary]

    def as_data(self) -> dict[str, Any]:
        """Plain data for a file."""
        return {"kind": KIND, "version": VERSION, **asdict(self)}


def write(result: Result, file: Path) -> None:
    """Write `result` to `file`, as a whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.new")
    draft.write_text(json.dumps(result.as_data(), indent=1) + "\n", encoding="utf-8")
    draft.replace(file)


def read(file: Path) -> Result:
    """The measurement in `file`.

    Raises:
        UserError: there is none, or it is no result of `penstock bench`.
    """
    try:
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        fix = "`penstock bench` writes one; it says where."
        raise UserError(
            f"{file} cannot be read", why=error.strerror or str(error), fix=fix
        ) from None
    except ValueError as error:
        raise UserError(f"{file} is no JSON", why=str(error)) from None
    if not isinstance(data, dict) or (data.get("kind"), data.get("version")) != (KIND, VERSION):
        raise UserError(
            f"{file} is no result of penstock bench",
            why=f"it is not marked as {KIND} {VERSION}",
            fix="Measure with `penstock bench`.",
        )
    try:
        runs = tuple(_summary(run) for run in data["runs"])
        given = {f.name: data[f.name] for f in fields(Result) if f.name != "runs"}
        return Result(**given, runs=runs)
    except (KeyError, TypeError) as error:
        raise UserError(f"{file} is not complete", why=f"{error} is missing or odd") from None


def _summary(run: Mapping[str, Any]) -> Summary:
    return Summary(**{**run, **{name: Spread(**run[name]) for name in _TIMES}})
