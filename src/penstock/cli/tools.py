"""`penstock tools`: the tools of a manifest, listed, tried and called without a gateway."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from penstock.chat.accumulate import Call
from penstock.chat.calls import Bounds, CallRunner, read_arguments
from penstock.chat.events import Step, ToolFinished
from penstock.chat.sources import Toolboxes
from penstock.chat.toolbox import Toolbox
from penstock.chat.tools.from_manifest import source_settings
from penstock.chat.tools.kinds import make_toolboxes
from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.ground.errors import UserError
from penstock.ground.wording import near_names
from penstock.manifest.loader import load
from penstock.manifest.model import BUILT_IN_TOOLS, Manifest

_WAIT_S = 10.0
_LOOK_S = 0.05
T = TypeVar("T")

Name = Annotated[str | None, typer.Argument(help="Tool to call, as the model names it.")]
Given = Annotated[str, typer.Argument(metavar="ARGUMENTS", help="Its arguments, as JSON.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="In whose hands; else all tools.")]
File = Annotated[
    Path | None, typer.Option("--file", "-f", help="The manifest; ./penstock.yaml if left out.")
]


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    CALL = "call"
    TEST = "test"


def command(
    action: Annotated[Action, typer.Argument(help="`list`, `call` one, or `test` the sources.")],
    name: Name = None,
    arguments: Given = "{}",
    tenant: Tenant = None,
    file: File = None,
    as_json: AsJson = False,
) -> int:
    """List, call or test the tools of a manifest.

    Sources are asked directly, with the secrets of this shell; no gateway is needed. With --json,
    stdout carries a list of definitions, {"outcome", "seconds", "result"}, or a list of
    {"source", "tools"}.
    """
    manifest = load(file)
    if tenant is not None and tenant not in manifest.tenants:
        fix = near_names(tenant, manifest.tenants)
        raise UserError(f"the manifest has no tenant {tenant}", fix=fix)
    if action is Action.CALL:
        _check_call(name, arguments)

    async def act(boxes: Toolboxes) -> int:
        await _ready(boxes, manifest)
        if action is Action.TEST:
            return _test(boxes, tenant or "", as_json=as_json)
        grants = manifest.tenants[tenant].tools if tenant else tuple(boxes.sources)
        box = boxes.box(tenant or "", grants)
        if action is Action.LIST:
            return _list(box, as_json=as_json)
        if name not in box:
            whose = f"tenant {tenant} is granted" if tenant else "the manifest has"
            raise UserError(f"{whose} no tool {name}", fix=near_names(name or "", box.names))
        code = await _call(box, Call("call", name or "", arguments), manifest, as_json=as_json)
        if code is not ExitCode.OK and tenant is None and manifest.tenants:
            note("Called for no tenant: --tenant NAME calls it in a tenant's hands.")
        return code

    return asyncio.run(_with_tools(manifest, act))


def _check_call(name: str | None, arguments: str) -> None:
    if name is None:
        raise UserError("which tool?", fix="`penstock tools list` names them.")
    try:
        read_arguments(arguments)
    except ValueError as error:
        raise UserError(
            f"the arguments of {name} cannot be read",
            why=str(error),
            fix=f'Write them like this: penstock tools call {name} \'{{"key": "value"}}\'',
        ) from None


async def _with_tools(manifest: Manifest, act: Callable[[Toolboxes], Awaitable[T]]) -> T:
    """Do `act` while the sources' connections live."""
    builtin = manifest.builtin_tools
    settings = [source_settings(manifest, name) for name in manifest.tools]
    boxes = make_toolboxes(settings, os.environ, builtin.weather_url, builtin.database)
    loops = [asyncio.create_task(loop) for loop in boxes.loops()]
    try:
        return await act(boxes)
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def _ready(boxes: Toolboxes, manifest: Manifest) -> None:
    """Wait for MCP servers to tell their tools; what has none by then is shown without."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + _WAIT_S
    while any(not boxes.sources[each].tools("") for each in manifest.tools):
        if loop.time() > until_s:
            return
        await asyncio.sleep(_LOOK_S)


def _list(box: Toolbox, *, as_json: bool) -> int:
    definitions = json.loads(bytes(box.definitions))
    if as_json:
        print_json(definitions)
        return ExitCode.OK
    for definition in definitions:
        function = definition["function"]
        waits = " (waits for approval)" if box.needs_approval(function["name"]) else ""
        about = str(function.get("description", "")).strip().partition("\n")[0]
        print_text(f"{function['name']:32}{about}{waits}")
    return ExitCode.OK


async def _call(box: Toolbox, call: Call, manifest: Manifest, *, as_json: bool) -> int:
    turns = manifest.turns
    bounds = Bounds(call_timeout_s=turns.call_timeout_s, max_result_bytes=turns.max_result_bytes)
    ends: list[ToolFinished] = []

    def tell(step: Step) -> None:
        if isinstance(step, ToolFinished):
            ends.append(step)

    await CallRunner(box, bounds, float("inf")).run([call], tell)
    (ended,) = ends
    if as_json:
        told = {"outcome": ended.outcome, "seconds": round(ended.seconds, 3)}
        print_json({**told, "result": ended.result})
    else:
        print_text(ended.result)
        note(f"{ended.outcome}, {ended.seconds:.3f} s")
    return ExitCode.OK if ended.outcome == "ok" else ExitCode.FAILED


def _test(boxes: Toolboxes, tenant: str, *, as_json: bool) -> int:
    rows = [
        {"source": name, "tools": [tool.name for tool in source.tools(tenant)]}
        for name, source in boxes.sources.items()
        if name not in BUILT_IN_TOOLS
    ]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            print_text(f"{row['source']:20}{', '.join(row['tools']) or 'no tools: not reached'}")
        if not rows:
            note("The manifest names no sources of tools.")
    return ExitCode.OK if all(row["tools"] for row in rows) else ExitCode.FAILED
