"""`penstock invoke`: one prompt, one answer."""

import json
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.address import Key, Model, System, Url, find_address
from penstock.cli.client import Client, Ended, Piece, Text, ToolUse
from penstock.cli.conversation import Conversation
from penstock.cli.deployed import File, find_deployed
from penstock.cli.deployed_invoke import Deployed, front_of, open_deployed
from penstock.cli.output import AsJson, note, print_json, print_text
from penstock.ground.errors import UserError

Prompt = Annotated[str, typer.Argument(help="What to ask; `-` reads it from stdin.")]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", min=1, help="Longest answer, tokens.")
]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", min=0, max=2, help="0 picks the likeliest token every time."),
]
Stream = Annotated[bool, typer.Option("--stream", help="Print the answer while it comes.")]


def command(  # noqa: PLR0913  every parameter is an option of the command
    prompt: Prompt,
    *,
    url: Url = None,
    key: Key = None,
    model: Model = None,
    system: System = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    stream: Stream = False,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Send one prompt and print the answer.

    It goes to the gateway, here or before a deployment, or to SageMaker where there is none. With
    --json the answer is printed as it was sent, with --stream besides a JSON object for a piece.
    """
    text = sys.stdin.read().strip() if prompt == "-" else prompt
    if not text:
        raise UserError("the prompt is empty", fix='Try: penstock invoke "Hello"')
    limits = {"max_tokens": max_tokens, "temperature": temperature}
    given = {name: value for name, value in limits.items() if value is not None}
    manifest = find_deployed(file, Path.cwd()) if url is None else None
    address = front_of(manifest, key) if manifest else None
    if manifest and address is None:
        if manifest.front.kind != "none":
            note("SageMaker is asked instead, past the gateway")
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text})
        with open_deployed(manifest, model) as deployed:
            if stream:
                _show_stream(deployed.stream(messages, given), as_json=as_json)
            else:
                _show_deployed(deployed, deployed.answer(messages, given), as_json=as_json)
        return
    address = address or find_address(url, key, Path.cwd())
    with Client(address) as client:
        talk = Conversation(model or address.model or client.first_model(), system)
        request = {**talk.request(text), **given}
        if stream:
            _stream(client, request, as_json=as_json)
        else:
            _answer(client, request, as_json=as_json)


def _answer(client: Client, request: dict[str, object], *, as_json: bool) -> None:
    completion = client.answer(request)
    if as_json:
        print_json(completion)
        return
    choice = completion["choices"][0]
    print_text(choice["message"]["content"] or "")
    _warn_if_cut(choice["finish_reason"])


def _stream(client: Client, request: dict[str, object], *, as_json: bool) -> None:
    with closing(client.stream(request)) as pieces:
        _show_stream(pieces, as_json=as_json)


def _show_stream(pieces: Iterable[Piece], *, as_json: bool) -> None:
    if as_json:
        for piece in pieces:
            print_json({"type": _TYPES[type(piece)], **piece._asdict()})
        return
    try:
        reason = _print_pieces(pieces)
    finally:
        print_text()
    _warn_if_cut(reason)


def _show_deployed(deployed: Deployed, answer: bytes, *, as_json: bool) -> None:
    if as_json:
        print_json(json.loads(answer))
        return
    said, reason = deployed.text(answer)
    print_text(said)
    _warn_if_cut(reason)


_TYPES: dict[type[Piece], str] = {Text: "text", ToolUse: "tool", Ended: "end"}


def _print_pieces(pieces: Iterable[Piece]) -> str:
    """Print the text as it comes; returns the reason why it ended."""
    reason = ""
    for piece in pieces:
        if isinstance(piece, Text):
            sys.stdout.write(piece.text)
            sys.stdout.flush()
        elif isinstance(piece, Ended):
            reason = piece.finish_reason
    return reason


def _warn_if_cut(reason: str) -> None:
    if reason == "length":
        note("The answer was cut at its longest; --max-tokens makes it longer.")
