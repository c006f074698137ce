"""Asking before something is done that costs money or cannot be undone."""

import sys
from typing import Annotated

import typer

from penstock.cli.output import terminal
from penstock.ground.errors import UserError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it, do not ask.")]


def ask(question: str, *, yes: bool) -> bool:
    """Whether the user agrees; `yes` agrees without being asked.

    Raises:
        UserError: there is nobody to ask.
    """
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError(
            "there is nobody to ask", why="this is no terminal", fix="Agree with --yes"
        )
    terminal(stderr=True).print(f"{question} [y/N] ", end="", soft_wrap=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
