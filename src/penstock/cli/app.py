"""`penstock`: the table of commands, and what holds for all of them.

Every command is a module of this room with one function, `command`, that Typer reads. Modules
are imported when their command is called, not before: the list that `penstock --help` prints
comes from `COMMANDS` (a test compares it with the docstrings), so help takes a tenth of a second.
"""

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from penstock.cli import output
from penstock.cli.output import ExitCode
from penstock.ground.errors import PenstockError


class Entry(NamedTuple):
    """A command: the module that holds its `command` function, and its line in the help."""

    module: str
    help: str


COMMANDS = {
    "init": Entry("penstock.cli.init", "Write a commented penstock.yaml."),
    "validate": Entry("penstock.cli.validate", "Check a penstock.yaml and show every problem."),
    "plan": Entry(
        "penstock.cli.plan",
        "Say whether the model fits, how fast it is, what it costs, and how sure that is.",
    ),
    "catalog": Entry(
        "penstock.cli.catalog",
        "Show the figures a plan rests on and where they are from, or refresh the prices.",
    ),
    "render": Entry(
        "penstock.cli.render",
        "Write templates that deploy with the AWS CLI alone, or print the deployer's IAM policy.",
    ),
    "diff": Entry(
        "penstock.cli.diff",
        "Show what `penstock deploy` would change, what that means, and what it costs.",
    ),
    "deploy": Entry(
        "penstock.cli.deploy",
        "Deploy a manifest: show what would change, ask, do it, and ask the endpoint something.",
    ),
    "destroy": Entry(
        "penstock.cli.destroy", "Remove everything that `penstock deploy` made, after asking."
    ),
    "doctor": Entry(
        "penstock.cli.doctor",
        "Say what is wrong with a deployment, or will be, how one knows, and what helps.",
    ),
    "token": Entry(
        "penstock.cli.token", "Make a token that opens SageMaker's OpenAI route for a while."
    ),
    "up": Entry("penstock.cli.up", "Serve the model behind the gateway on this machine."),
    "status": Entry(
        "penstock.cli.status", "Show what runs on this machine, or is deployed, and how it is."
    ),
    "logs": Entry(
        "penstock.cli.logs", "Show the logs of the running stack, or of what is deployed."
    ),
    "down": Entry("penstock.cli.down", "Stop the running stack."),
    "engines": Entry(
        "penstock.cli.engines",
        "Show the engines of this machine, install one, or look after those behind a gateway.",
    ),
    "chat": Entry("penstock.cli.chat", "Talk to the model in the terminal."),
    "invoke": Entry("penstock.cli.invoke", "Send one prompt and print the answer."),
    "bench": Entry(
        "penstock.cli.bench",
        "Put a load on an OpenAI-compatible endpoint, and say how fast it answered.",
    ),
    "calibrate": Entry(
        "penstock.cli.calibrate", "Let measurements of a machine improve the plans for it."
    ),
    "tenants": Entry(
        "penstock.cli.tenants", "Show, make, change or switch off the tenants of a gateway."
    ),
    "keys": Entry("penstock.cli.keys", "Show, make, rotate, switch off or revoke API keys."),
    "usage": Entry("penstock.cli.usage", "Show what was used, or export the ledger's entries."),
    "audit": Entry("penstock.cli.audit", "Check an audit for what was altered, or show it."),
    "tools": Entry("penstock.cli.tools", "List, call or test the tools of a manifest."),
    "rehearse": Entry(
        "penstock.cli.rehearse",
        "Rehearse a deployment to AWS on this machine, from change set to deletion.",
    ),
    "schema": Entry("penstock.cli.schema", "Print the JSON Schema of penstock.yaml."),
}


class Commands(TyperGroup):
    """The group of all commands: lists them from the table, loads the one that is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=e.help) for name, e in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name, command and remaining arguments; imports the command's module."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and load(str(name)), rest


def load(name: str) -> Any:
    """The Typer command called `name`, from its module.

    Nothing that an import makes is garbage, so the collector sleeps meanwhile and never looks at
    it again: a tenth of the time of `penstock plan`.
    """
    gc.disable()
    try:
        module = importlib.import_module(COMMANDS[name].module)
    finally:
        gc.enable()
        gc.freeze()
    single = typer.Typer(add_completion=False)
    single.command(name)(module.command)
    return get_command(single)


app = typer.Typer(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})


def print_version(asked: bool) -> None:
    """Print the version and leave, when `--version` is given."""
    if asked:
        metadata = importlib.import_module("importlib.metadata")  # 25 ms that no other call needs
        output.print_text(f"penstock {metadata.version('penstock')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=print_version, is_eager=True, help="Print the version and leave."
    ),
]


@app.callback()
def penstock(version: Version = False) -> None:
    """Serve an open-weight LLM behind an OpenAI-compatible gateway, here or in your AWS account.

    Start with `penstock up`, then `penstock chat`.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `cli/output.py`); never raises an error."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    as_json = "--json" in given
    try:
        code = get_command(app).main(args=given, prog_name="penstock", standalone_mode=False)
        sys.stdout.flush()
        return int(code or ExitCode.OK)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except (PenstockError, typer.TyperException) as error:
        output.report(error, as_json=as_json)
        return output.exit_code(error)
    except Exception as error:  # noqa: BLE001  the last resort: what is not in our tree is a bug
        output.report_bug(error, as_json=as_json)
        return ExitCode.BUG


if __name__ == "__main__":
    sys.exit(main())
