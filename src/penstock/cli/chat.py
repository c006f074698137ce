"""`penstock chat`: a conversation in the terminal, or one turn for each line of a pipe."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text as Styled

from penstock.cli.address import Key, Model, System, Url, find_address
from penstock.cli.client import Client, Piece, Text, ToolUse
from penstock.cli.conversation import Answer, Conversation
from penstock.cli.deployed import File, find_deployed
from penstock.cli.deployed_invoke import front_of
from penstock.cli.output import AsJson, note, print_json, print_text, report, terminal
from penstock.ground.errors import PenstockError, UserError

with contextlib.suppress(ImportError):  # Windows has none; the chat works without
    import readline  # noqa: F401  gives input() editing and a history

NoTools = Annotated[
    bool, typer.Option("--no-tools", help="Ask the gateway to run no tools for this chat.")
]

HELP = """\
/reset         forget what was said
/model         list the models
/model NAME    talk to another model
/exit          leave (or Ctrl-D)
Ctrl-C stops an answer."""


def command(  # noqa: PLR0913  every parameter is an option of the command
    *,
    url: Url = None,
    key: Key = None,
    model: Model = None,
    system: System = None,
    no_tools: NoTools = False,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Talk to the model in the terminal.

    It is asked by the gateway here, or the one before a deployment. Ctrl-C stops an answer; Ctrl-D
    or /exit leaves; /help lists the other commands. From a pipe, every line is one turn; with
    --json every answer is one JSON object on a line.
    """
    manifest = find_deployed(file, Path.cwd()) if url is None else None
    address = front_of(manifest, key) if manifest else find_address(url, key, Path.cwd())
    if address is None:
        raise UserError(
            "there is no gateway to talk to before this deployment",
            fix='Ask SageMaker: penstock invoke "Hello"; or set front.kind, and deploy.',
        )
    with Client(address) as client:
        name = model or address.model or client.first_model()
        talk = Conversation(name, system, tools=not no_tools)
        if sys.stdin.isatty() and not as_json:
            converse(client, talk)
        else:
            answer_lines(client, talk, as_json=as_json)


def answer_lines(client: Client, talk: Conversation, *, as_json: bool) -> None:
    """Take one turn for each line of stdin; blank lines and commands aside.

    Raises:
        PenstockError: a turn failed; the lines after it are not read.
        KeyboardInterrupt: Ctrl-C.
    """
    for line in sys.stdin:
        prompt = line.strip()
        if prompt == "/exit":
            return
        if prompt == "/reset":
            talk.reset()
        elif prompt:
            answer = talk.take_turn(client, prompt, _ignore if as_json else _write_text)
            if answer.ended is None:
                raise KeyboardInterrupt
            print_json(_describe(answer)) if as_json else print_text()


def converse(client: Client, talk: Conversation) -> None:
    """Take turns with a person until they leave."""
    note(Styled(f"{talk.model} listens. /help lists the commands, Ctrl-D leaves.", style="dim"))
    while True:
        try:
            prompt = input("> ").strip()
        except EOFError:
            print_text()
            return
        except KeyboardInterrupt:
            note(Styled("\nCtrl-D or /exit leaves.", style="dim"))
            continue
        if prompt == "/exit":
            return
        try:
            if prompt.startswith("/"):
                obey(client, talk, prompt)
            elif prompt:
                _answer_person(client, talk, prompt)
        except PenstockError as error:
            report(error, as_json=False)
        except KeyboardInterrupt:
            note(Styled("(stopped)", style="dim"))


def obey(client: Client, talk: Conversation, line: str) -> None:
    """Carry out a line that starts with a slash.

    Raises:
        PenstockError: the models cannot be listed.
    """
    name, _, argument = line.partition(" ")
    if name == "/reset":
        talk.reset()
        note("Forgotten.")
    elif name == "/model":
        known = client.models()
        if argument.strip() in known:
            talk.model = argument.strip()
        elif argument:
            note(f"There is no model '{argument.strip()}'.")
        for model in known:
            note(f"{'*' if model == talk.model else ' '} {model}")
    else:
        note(HELP)


def _answer_person(client: Client, talk: Conversation, prompt: str) -> None:
    begun = False
    with terminal(stderr=True).status("") as waiting:

        def show(piece: Piece) -> None:
            nonlocal begun
            if isinstance(piece, Text):
                waiting.stop()
                begun = True
                _write_text(piece)
            elif isinstance(piece, ToolUse) and piece.status != "started":
                used = f"used {piece.name} ({piece.status})"
                waiting.console.print(Styled(used, style="dim"), soft_wrap=True)

        try:
            answer = talk.take_turn(client, prompt, show)
        finally:
            waiting.stop()
            if begun:
                print_text()
    if answer.ended is None:
        note(Styled("(stopped)", style="dim"))
    elif answer.ended.finish_reason == "length":
        note(Styled("(cut at the longest answer)", style="dim"))


def _write_text(piece: Piece) -> None:
    if isinstance(piece, Text):
        sys.stdout.write(piece.text)
        sys.stdout.flush()


def _ignore(piece: Piece) -> None:
    """Show nothing: the answer is printed when it is whole."""


def _describe(answer: Answer) -> dict[str, object]:
    described: dict[str, object] = {"content": answer.text, "tools": list(answer.tools)}
    return described | (answer.ended._asdict() if answer.ended else {})
