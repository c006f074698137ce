"""A rehearsal, put together; its packages are imported only here, when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.ground.errors import MachineError

SCALE = 120.0
Started = Callable[[dict[str, Any]], None]


def rehearse(
    folder: Path,
    faults: tuple[str, ...],
    tell: Callable[[str, str], None],
    kept: Started | None,
) -> None:
    """Start the stand-in, play every act, end it; `kept` is called before the end, if given.

    Raises:
        MachineError: moto, boto3 or cfn-lint is not installed.
        PenstockError: an act did not end as it should.
    """
    try:
        from penstock.rehearsal.play.acts import play
        from penstock.rehearsal.play.commands import Commands
        from penstock.rehearsal.play.process import Process
        from penstock.rehearsal.play.stage import Stage
    except ImportError as error:
        raise MachineError(
            "the stand-in for AWS is not installed",
            why=str(error),
            fix="Install it: pip install 'penstock[rehearsal]'",
        ) from None
    with Process(folder, SCALE) as process:
        tell("start", f"AWS stands in at {process.said['url']}")
        stage = Stage(process.said, tell)
        try:
            commands = Commands(folder / "deployments", process.said, tell)
            play(stage, commands, faults, keep=kept is not None)
        finally:
            stage.close()
        if kept is not None:
            kept(process.said)
