"""`penstock logs`: what the engine, the gateway and the supervisor wrote."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.deployed import File, find_deployed
from penstock.cli.deployed_logs import show_deployed_logs
from penstock.cli.output import AsJson, ExitCode, print_json
from penstock.ground.errors import UserError
from penstock.targets.local import logs
from penstock.targets.local.state import find_directory

Name = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="Whose: engine, gateway, ...; else all.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")]
Lines = Annotated[int, typer.Option("-n", "--lines", min=0, help="How many lines from the end.")]


def command(
    name: Name = None,
    *,
    follow: Follow = False,
    lines: Lines = 40,
    file: File = None,
    as_json: AsJson = False,
) -> int:
    """Show the logs of the running stack, or of what is deployed.

    After it has stopped, those of the last one. Lines carry a name when there are several logs.
    With --json, every line is an object {"name", "line"}, of a deployment with "at" and "stream".
    """
    if manifest := find_deployed(file, Path.cwd()):
        return show_deployed_logs(manifest, name, lines, follow=follow, as_json=as_json)
    folder = logs.folder(find_directory(Path.cwd()))
    found = {path.stem: path for path in sorted(folder.glob("*.log"))}
    chosen = {one: path for one, path in found.items() if name in (None, one, one.split("-")[0])}
    if not chosen:
        raise UserError(
            f"there is no log {name}" if found else "there are no logs here",
            why=f"there are {', '.join(found)}" if found else "",
            fix="Name one of them" if found else "Start a stack with `penstock up`",
            where=str(folder),
        )
    write = _as_object if as_json else _with_name if len(chosen) > 1 else _alone
    for one, path in chosen.items():
        for line in logs.tail(path, lines):
            write(one, line)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            for one, line in logs.follow(chosen):
                write(one, line)
    return ExitCode.OK


def _as_object(name: str, line: str) -> None:
    print_json({"name": name, "line": line})


def _with_name(name: str, line: str) -> None:
    _alone(name, f"{name}: {line}")


def _alone(_: str, line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
