"""`penstock engines`: which engines this machine has, and how to get one."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text, terminal
from penstock.engines import vllm_environment
from penstock.engines.vllm_environment import ANNOUNCEMENT, VllmMissing
from penstock.ground.errors import MachineError, UserError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Install what is missing, do not ask.")]
_WORTH_TELLING = ("Collecting", "Downloading", "Installing", "Successfully", "makes", "tries")


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    INSTALL = "install"


def command(
    action: Annotated[Action, typer.Argument(help="`list`, or `install` one.")] = Action.LIST,
    name: Annotated[str | None, typer.Argument(help="What to install: vllm.")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Show the engines of this machine, or install one.

    With --json, stdout carries a list of {"name", "installed", "note"}.
    """
    if action is Action.INSTALL:
        if name != "vllm":
            raise UserError(
                f"cannot install {name or 'nothing'}", fix="Try `penstock engines install vllm`"
            )
        install_vllm(yes=yes)
        return ExitCode.OK
    rows = [
        {"name": "embedded", "installed": True, "note": "small models, on any machine"},
        _vllm(),
        {"name": "openai", "installed": True, "note": "a server that runs: --engine-url"},
    ]
    if as_json:
        print_json(rows)
        return ExitCode.OK
    for row in rows:
        print_text(f"{row['name']:10}{'yes' if row['installed'] else 'no':5}{row['note']}")
    return ExitCode.OK


def install_vllm(*, yes: bool) -> None:
    """Install vLLM for CPUs after saying what it costs; asks unless `yes`.

    Raises VllmMissing when nobody can be asked, MachineError when it fails.
    """
    vllm_environment.check_machine()
    if vllm_environment.find() is not None:
        note("vLLM is installed.")
        return
    note(f"{ANNOUNCEMENT}, into {vllm_environment.place()}.")
    if not yes:
        if not sys.stdin.isatty():
            raise VllmMissing("vLLM is not installed", fix="Say --yes to install it")
        typer.confirm("Install it now?", default=True, abort=True, err=True)
    console = terminal(stderr=True)
    with console.status("installs vLLM") as status:

        def say(line: str) -> None:
            if console.is_terminal:
                status.update(f"installs vLLM: {line.strip()[:100]}")
            elif line.strip().startswith(_WORTH_TELLING):
                note(line.strip()[:160])

        vllm_environment.install(say)
    note("vLLM is installed.")


def _vllm() -> dict[str, object]:
    try:
        host = vllm_environment.require()
    except MachineError as error:
        return {"name": "vllm", "installed": False, "note": str(error)}
    how = "on the GPU" if host.device == "cuda" else "on the CPU"
    return {"name": "vllm", "installed": True, "note": f"{how}: {' '.join(host.command)}"}
