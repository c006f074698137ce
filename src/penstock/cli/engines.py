"""`penstock engines`: which engines this machine has, and how to get one."""

import sys
from enum import StrEnum
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from penstock.cli.admin_client import AdminClient, AdminKey, find_admin
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
    STATE = "state"
    DRAIN = "drain"
    RESUME = "resume"


def command(
    action: Annotated[
        Action,
        typer.Argument(
            help="`list` what this machine has, or `install` one; `state` of those behind a "
            "gateway, `drain` or `resume` one."
        ),
    ] = Action.LIST,
    name: Annotated[
        str | None, typer.Argument(help="What to install (vllm); which engine to drain.")
    ] = None,
    yes: Yes = False,
    url: Annotated[
        str | None, typer.Option("--url", help="Gateway; else the local stack.")
    ] = None,
    admin_key: AdminKey = None,
    as_json: AsJson = False,
) -> int:
    """Show the engines of this machine, install one, or look after those behind a gateway.

    With --json, stdout carries a list of {"name", "installed", "note"}, or what the gateway says.
    """
    if action in (Action.STATE, Action.DRAIN, Action.RESUME):
        return _behind_gateway(find_admin(url, admin_key), action, name, as_json=as_json)
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


def _behind_gateway(admin: AdminClient, action: Action, name: str | None, *, as_json: bool) -> int:
    if action is Action.STATE:
        found = admin.ask("GET", "/engines")
        rows = msgspec.convert(found["data"], list[dict[str, object]])
    elif name is None:
        raise UserError(f"{action} which engine?", fix="See `penstock engines state`")
    else:
        rows = [admin.ask("POST", f"/engines/{quote(name, safe='')}/{action}")]
    if as_json:
        print_json(rows)
        return ExitCode.OK
    for row in rows:
        state = "draining" if row["draining"] else "up" if row["up"] else "down"
        print_text(
            f"{row['name']:20}{state:10}circuit {row['circuit']:11}{row['outstanding']} requests"
        )
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
