"""`penstock logs`: what the engine, the gateway and the supervisor wrote."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import ExitCode
from penstock.ground.errors import UserError
from penstock.targets.local import logs
from penstock.targets.local.state import find_directory

Name = Annotated[
    str | None, typer.Argument(metavar="[engine|gateway|supervisor]", help="Whose; else all.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")]
Lines = Annotated[int, typer.Option("-n", "--lines", min=0, help="How many lines from the end.")]


def command(name: Name = None, follow: Follow = False, lines: Lines = 40) -> int:
    """Show the logs of the running stack.

    After it has stopped, those of the last one. Lines carry a name when there are several logs.
    """
    folder = logs.folder(find_directory(Path.cwd()))
    found = {path.stem: path for path in sorted(folder.glob("*.log"))}
    chosen = {one: path for one, path in found.items() if name in (None, one, one.split("-")[0])}
    if not chosen:
        there = ", ".join(found) or "none"
        raise UserError(
            f"there is no log {name}" if name else "there are no logs here",
            why=f"there is {there}",
            fix="Start a stack with `penstock up`",
            where=str(folder),
        )
    for one, path in chosen.items():
        for line in logs.tail(path, lines):
            _print(one, line, many=len(chosen) > 1)
    if follow:
        try:
            for one, line in logs.follow(chosen):
                _print(one, line, many=len(chosen) > 1)
        except KeyboardInterrupt:
            return ExitCode.OK
    return ExitCode.OK


def _print(name: str, line: str, *, many: bool) -> None:
    sys.stdout.write(f"{name}: {line}\n" if many else f"{line}\n")
    sys.stdout.flush()
