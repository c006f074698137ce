"""`penstock bench`: put a load on an endpoint, and say how fast it answered."""

import asyncio
import importlib.metadata
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.table import Column, Table

from penstock.cli.address import Address, Key, Model, Url, find_address
from penstock.cli.client import Client
from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text, terminal
from penstock.ground.errors import UserError
from penstock.ground.wording import numbered
from penstock.manifest.loader import load as load_manifest
from penstock.manifest.model import Manifest
from penstock.measurement import result
from penstock.measurement.endpoint import Endpoint
from penstock.measurement.hardware import this_machine
from penstock.measurement.result import Result
from penstock.measurement.summary import Summary
from penstock.measurement.workload import Workload
from penstock.targets.local import state

File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="The manifest of what is measured; ./penstock.yaml."),
]
PromptTokens = Annotated[
    int | None, typer.Option("--prompt-tokens", min=1, help="Tokens of a prompt; else load's.")
]
OutputTokens = Annotated[
    int | None, typer.Option("--output-tokens", min=2, help="Tokens of an answer; else load's.")
]
Concurrency = Annotated[
    str, typer.Option("--concurrency", "-c", help="Clients at a time; several as 1,4,16.")
]
Rate = Annotated[
    str | None,
    typer.Option("--rate", help="Requests a second at random times (Poisson) instead; 0.5,2."),
]
Duration = Annotated[
    float, typer.Option("--duration", min=0.5, help="Seconds to measure, for each load.")
]
WarmUp = Annotated[
    float, typer.Option("--warm-up", min=0, help="Seconds before each that do not count.")
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed makes the same prompts.")]
Hardware = Annotated[
    str | None,
    typer.Option("--hardware", help="What the endpoint runs on: g5.xlarge, or H100 x 2."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Where the result goes; else .penstock/.")
]


def command(  # noqa: PLR0913, PLR0917  one parameter an option
    file: File = None,
    url: Url = None,
    key: Key = None,
    model: Model = None,
    prompt_tokens: PromptTokens = None,
    output_tokens: OutputTokens = None,
    concurrency: Concurrency = "1,4,16",
    rate: Rate = None,
    duration: Duration = 20,
    warm_up: WarmUp = 3,
    seed: Seed = 0,
    hardware: Hardware = None,
    output: Output = None,
    as_json: AsJson = False,
) -> int:
    """Put a load on an OpenAI-compatible endpoint, and say how fast it answered.

    Prompts are random words that no cache knows. The result is written to a file that `penstock
    calibrate` reads. Exit code 1 means that a load got no answer at all.
    """
    manifest = load_manifest(file)
    address = find_address(url, key, Path.cwd())
    with Client(address) as client:
        asked_as = model or address.model or client.first_model()
    sizes = (
        prompt_tokens or manifest.load.prompt_tokens,
        output_tokens or manifest.load.output_tokens,
    )
    loads = [
        Workload(*sizes, clients, each, duration, warm_up, seed + number)
        for number, (clients, each) in enumerate(_loads(concurrency, rate))
    ]
    runs = asyncio.run(_measure(address, asked_as, loads))
    whole = _result(address, asked_as, manifest, runs, hardware)
    place = output or _place(whole.at)
    result.write(whole, place)
    if as_json:
        print_json({**whole.as_data(), "file": str(place)})
    else:
        _show(runs)
    _warn(runs)
    note(f"written to {place}; next: penstock calibrate {place}")
    return ExitCode.OK if all(run.requests for run in runs) else ExitCode.FAILED


async def _measure(address: Address, model: str, loads: Sequence[Workload]) -> list[Summary]:
    async with Endpoint(address.url, address.key, model) as endpoint:
        await endpoint.get_acquainted()
        if not endpoint.fixed_length:
            note("The endpoint cannot be told how long to answer; answers end when it ends them.")
        runs = []
        for each in loads:
            note(f"{each.name}: {each.warm_up_s:g} s to warm up, then {each.seconds:g} s")
            runs.append(await endpoint.measure(each))
        return runs


def _loads(concurrency: str, rate: str | None) -> list[tuple[int, float]]:
    """Each load as (clients, requests a second); one of the two is 0."""
    try:
        if rate is not None:
            found = [(0, float(part)) for part in rate.split(",")]
        else:
            found = [(int(part), 0.0) for part in concurrency.split(",")]
    except ValueError:
        found = []
    if not found or any(
        clients < 0 or each < 0 or not (clients or each) for clients, each in found
    ):
        option, given = ("--rate", rate) if rate is not None else ("--concurrency", concurrency)
        raise UserError(
            f"{option} {given} says no load", fix="Write numbers above 0: --concurrency 1,4,16"
        )
    return found


def _result(
    address: Address,
    asked_as: str,
    manifest: Manifest,
    runs: Sequence[Summary],
    hardware: str | None,
) -> Result:
    facts: dict[str, Any] = {"named": hardware} if hardware else {}
    if _is_here(address.url):
        facts |= this_machine().as_data()
    return Result(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        url=address.url,
        model=manifest.model.id,
        asked_as=asked_as,
        engine=manifest.engine_kind,
        engine_version=_engine_version(address),
        penstock=importlib.metadata.version("penstock"),
        manifest=_sections(manifest),
        hardware=facts,
        runs=runs,
    )


def _sections(manifest: Manifest) -> dict[str, Any]:
    """The sections that bear on speed; secrets stand in them as references at most."""
    whole = manifest.model_dump(
        mode="json", include={"model", "engine", "load", "target", "scale"}
    )
    whole["engine"].pop("api_key", None)
    return whole


def _engine_version(address: Address) -> str:
    """What the engine calls its version; empty where it does not say."""
    running = state.read_state(state.find_directory(Path.cwd()))
    engine = address.url
    if running and running.url == address.url:
        own = (each.url for each in running.services if each.name.startswith("engine"))
        engine = running.engine_url or next(own, engine)
    with Client(Address(engine)) as client:
        return client.engine_version()


def _place(at: str) -> Path:
    stamp = at.replace(":", "").replace("+0000", "Z")
    return state.home(state.find_directory(Path.cwd())) / f"bench-{stamp}.json"


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _show(runs: Sequence[Summary]) -> None:
    for run in runs:
        load = Workload(0, 0, run.clients, run.requests_per_s_asked).name
        failed = f", {run.failed} failed" if run.failed else ""
        print_text(
            f"{load}, {run.prompt_tokens:,.0f} + {run.output_tokens:,.0f} tokens: {run.requests} "
            f"answers{failed} in {run.seconds:.0f} s, {run.tokens_per_s:,.1f} tokens/s, "
            f"{run.requests_per_s:,.2f} requests/s"
        )
        terminal().print(_times(run))


def _times(run: Summary) -> Table:
    names = ("p50", "p95", "p99", "mean")
    columns = (Column(f"{name} ms", justify="right", min_width=9) for name in names)
    table = Table(Column("", min_width=9), *columns, box=None)
    spreads = {"TTFT": run.ttft_ms, "TPOT": run.tpot_ms, "ITL": run.itl_ms}
    for name, spread in (spreads | {"latency": run.latency_ms}).items():
        values = (spread.p50, spread.p95, spread.p99, spread.mean)
        table.add_row(f"  {name}", *(f"{value:,.{_digits(value)}f}" for value in values))
    return table


def _digits(value: float) -> int:
    return 0 if value >= 100 else 1 if value >= 10 else 2


def _warn(runs: Sequence[Summary]) -> None:
    for run in runs:
        for message, count in run.errors.items():
            note(f"{numbered(count, 'request')} failed: {message}")
    if any(run.client_was_the_limit for run in runs):
        busiest = max(run.client_cpu for run in runs)
        note(
            f"The client took {busiest:.0%} of a core: it may be the limit, not the endpoint. "
            "Measure from several processes."
        )
