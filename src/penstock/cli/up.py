"""`penstock up`: engine and gateway on this machine, until Ctrl-C or `penstock down`."""

import asyncio
import json
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.engines import Yes, install_vllm
from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.cli.progress import Progress
from penstock.engines.vllm_environment import VllmMissing
from penstock.manifest.loader import load
from penstock.targets.local import logs
from penstock.targets.local.detach import detach
from penstock.targets.local.event import STACK, Event, Phase, Report
from penstock.targets.local.stack import LocalStack
from penstock.targets.local.state import refuse_second
from penstock.targets.local.supervisor import Supervisor
from penstock.wiring.local import local_stack


class EngineKind(StrEnum):
    """The engines that `--engine` knows."""

    AUTO = "auto"
    EMBEDDED = "embedded"
    VLLM = "vllm"
    OPENAI = "openai"


File = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="The manifest; ./penstock.yaml if left out.")
]
Detach = Annotated[bool, typer.Option("--detach", "-d", help="Leave it running and return.")]
Model = Annotated[str | None, typer.Option("--model", help="Hugging Face id or folder.")]
Engine = Annotated[EngineKind | None, typer.Option("--engine", help="What computes the tokens.")]
EngineUrl = Annotated[
    str | None,
    typer.Option("--engine-url", help="Use the OpenAI-compatible server that runs there."),
]
Port = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, help="Port of the gateway; 0 takes a free one."),
]
Tools = Annotated[
    str | None, typer.Option("--tools", help="Built-in tools, with commas between them.")
]


def command(  # noqa: PLR0913, PLR0917  one parameter an option
    file: File = None,
    model: Model = None,
    engine: Engine = None,
    engine_url: EngineUrl = None,
    port: Port = None,
    tools: Tools = None,
    yes: Yes = False,
    detached: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Serve the model behind the gateway on this machine.

    Prints the address, a fresh API key and examples once the model answers. Ctrl-C ends
    everything it started; with --detach, `penstock down` does. With --json, stdout carries one
    object with `url`, `api_key` and `model`.
    """
    directory = (file.parent if file else Path()).resolve()
    refuse_second(directory)
    chosen = engine.value if engine else None
    changes = {
        "model.id": model,
        "engine.kind": chosen or ("openai" if engine_url else None),
        "engine.url": engine_url.rstrip("/").removesuffix("/v1") if engine_url else None,
        "gateway.port": port,
    }
    manifest = load(file, changes)
    granted = None if tools is None else [n.strip() for n in tools.split(",") if n.strip()]
    if manifest.target.kind != "local":
        note(f"target.kind is {manifest.target.kind}; `up` serves on this machine all the same.")

    def put_together() -> LocalStack:
        return local_stack(manifest, directory, tools=granted)

    try:
        stack = put_together()
    except VllmMissing:
        install_vllm(yes=yes)
        stack = put_together()
    return _run_detached(stack, as_json) if detached else _run_here(stack, as_json)


def _run_here(stack: LocalStack, as_json: bool) -> int:
    with Progress() as progress:

        def report(event: Event) -> None:
            progress(event)
            if event.service == STACK and event.phase is Phase.READY:
                tell(stack, as_json=as_json)
                note(f"Ctrl-C stops it. Next, in another terminal: {program()} chat")

        was_ready = asyncio.run(Supervisor(stack, report=report).run())
    note("stopped")
    return ExitCode.OK if was_ready else ExitCode.INTERRUPTED


def _run_detached(stack: LocalStack, as_json: bool) -> int:
    log = logs.folder(stack.directory) / "supervisor.log"

    async def serve(report: Report) -> bool:
        return await Supervisor(stack, report=report).run()

    with Progress() as progress:
        pid = detach(serve, log=log, report=progress)
    tell(stack, as_json=as_json, pid=pid)
    called = program()
    note(f"It runs in the background. Next: {called} chat, {called} status, {called} down")
    return ExitCode.OK


def tell(stack: LocalStack, *, as_json: bool, pid: int | None = None) -> None:
    """Print how to talk to `stack`, to stdout."""
    if as_json:
        facts: dict[str, object] = {
            "url": stack.url,
            "api_key": stack.api_key,
            "model": stack.model,
        }
        facts |= {"name": stack.name, "api_keys": dict(stack.tenant_keys)}
        print_json({**facts, **({"pid": pid} if pid else {})})
        return
    keys = stack.tenant_keys or {"": stack.api_key}
    shown = "\n".join(
        f"API key   {key}{f'  ({tenant})' if len(keys) > 1 else ''}"
        for tenant, key in keys.items()
    )
    request = {"model": stack.model, "messages": [{"role": "user", "content": "Hello!"}]}
    print_text(
        f"""
address   {stack.url}/v1
{shown}
model     {stack.model}

curl {stack.url}/v1/chat/completions -H "Authorization: Bearer {stack.api_key}" \
-H "Content-Type: application/json" -d '{json.dumps(request)}'

from openai import OpenAI
client = OpenAI(base_url="{stack.url}/v1", api_key="{stack.api_key}")
messages = [{{"role": "user", "content": "Hello!"}}]
answer = client.chat.completions.create(model="{stack.model}", messages=messages)
print(answer.choices[0].message.content)
"""
    )


def program() -> str:
    """Return how the user may call us: by name where that is on PATH, else by the path we have."""
    if shutil.which("penstock"):
        return "penstock"
    path = Path(sys.argv[0])
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
