"""How every command speaks: data to stdout, progress and errors to stderr, one exit code.

| exit code | name          | when                                                              |
|-----------|---------------|-------------------------------------------------------------------|
| 0         | `OK`          | done                                                              |
| 1         | `FAILED`      | the operation failed, or a limit was reached: trying again may do |
| 2         | `USAGE`       | the user's mistake: an argument, `penstock.yaml`, an API key      |
| 3         | `MACHINE`     | this machine lacks something: a port, a package, an instruction   |
| 4         | `ENGINE`      | the engine failed, died or cannot be reached                      |
| 70        | `BUG`         | a defect of Penstock; a traceback is on stderr                    |
| 130       | `INTERRUPTED` | Ctrl-C                                                            |

With `--json`, stdout carries JSON alone, one value a line, and an error is one JSON object on
stderr: `{"error": {"type", "message", "what", "why", "fix", "where", "exit_code"}}`.
"""

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from penstock.ground.errors import (
    EngineError,
    LimitExceeded,
    MachineError,
    PenstockError,
    UserError,
)

AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout; progress stays on stderr.")
]
"""The `--json` of every command: declare `as_json: AsJson = False`."""


class ExitCode(IntEnum):
    """What the process returns; see the table at the top of this file."""

    OK = 0
    FAILED = 1
    USAGE = 2
    MACHINE = 3
    ENGINE = 4
    BUG = 70
    INTERRUPTED = 130


def exit_code(error: Exception) -> ExitCode:
    """The exit code that stands for `error`."""
    if isinstance(error, MachineError):
        return ExitCode.MACHINE
    if isinstance(error, LimitExceeded):
        return ExitCode.FAILED
    if isinstance(error, UserError | typer.TyperException):
        return ExitCode.USAGE
    if isinstance(error, EngineError):
        return ExitCode.ENGINE
    if isinstance(error, PenstockError):
        return ExitCode.FAILED
    return ExitCode.BUG


def print_json(data: Mapping[str, object] | Sequence[object]) -> None:
    """Write `data` to stdout as one line of JSON, and flush."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_text(text: str | Text = "") -> None:
    """Write a line for people to stdout; a plain string is printed as it is."""
    terminal().print(text, soft_wrap=True)


def note(text: str | Text) -> None:
    """Write a line of progress or advice to stderr."""
    terminal(stderr=True).print(text, soft_wrap=True)


def terminal(*, stderr: bool = False) -> Console:
    """A Rich console on stdout or stderr; made anew, so that a redirected stream is followed."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def report(error: Exception, *, as_json: bool) -> None:
    """Say on stderr what went wrong: as `error: ...`, or as one JSON object."""
    if as_json:
        described = json.dumps({"error": describe(error)}, ensure_ascii=False)
        sys.stderr.write(described + "\n")
    else:
        note(Text.assemble(("error:", "bold red"), " ", _message(error)))


def report_bug(error: Exception, *, as_json: bool) -> None:
    """Say on stderr that Penstock has a defect, with its traceback."""
    lines = traceback.format_exception(error)
    if as_json:
        described = {**describe(error), "traceback": "".join(lines)}
        sys.stderr.write(json.dumps({"error": described}, ensure_ascii=False) + "\n")
        return
    sys.stderr.write("".join(lines))
    note(
        Text.assemble(
            ("bug:", "bold red"),
            f" {type(error).__name__}: {error}\n",
            "This is a defect of Penstock, not your mistake: please report the lines above.",
        )
    )


def describe(error: Exception) -> dict[str, object]:
    """What a program needs to know of `error`."""
    parts: dict[str, object] = {"type": type(error).__name__, "message": _message(error)}
    if isinstance(error, PenstockError):
        parts |= {"what": error.what, "why": error.why, "fix": error.fix, "where": error.where}
    return parts | {"exit_code": int(exit_code(error))}


def _message(error: Exception) -> str:
    if not isinstance(error, typer.TyperException):
        return str(error)
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "penstock"
    return f"{error.format_message()} Try `{path} --help`."
