"""`penstock plan`: does it fit, how fast, how much, how sure."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from penstock.catalog.catalogue import Catalogue
from penstock.catalog.catalogue import load as load_catalogue
from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.cli.planning import hub_cache, local_fits, refreshed_prices, refreshed_spot
from penstock.ground.errors import UserError
from penstock.manifest.loader import load as load_manifest
from penstock.manifest.model import Manifest
from penstock.measurement.hardware import this_machine
from penstock.plan import explain as explaining
from penstock.plan import pictures, text
from penstock.plan.compare import routing, routing_text, table
from penstock.plan.question import Wishes, ask, find_shape
from penstock.plan.report import Circumstances, Report, as_data, make_report
from penstock.sizing import here
from penstock.sizing.calibration import Calibration, read_calibration
from penstock.sizing.choice import choose
from penstock.sizing.demand import Demand
from penstock.wiring.aws import quota_value
from penstock.wiring.pictures import picture_writer

Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", help="The manifest; ./penstock.yaml if left out."),
]
Explain = Annotated[bool, typer.Option("--explain", help="Show the arithmetic and its sources.")]
Explore = Annotated[
    bool, typer.Option("--explore", help="Try every quantisation and every place in AWS too.")
]
Extrapolate = Annotated[
    bool, typer.Option("--extrapolate", help="Estimate outside what was measured, and mark it.")
]
Compare = Annotated[bool, typer.Option("--compare", help="Set the plans of the files in a table.")]
Split = Annotated[
    str | None,
    typer.Option(
        "--split", metavar="SHARES", help="With --compare: per cent of requests, as 80,15,5."
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="PATH",
        allow_dash=True,
        help="Draw cost, latency and memory: an .svg or .png file, or - for the terminal.",
    ),
]
Quotas = Annotated[
    bool, typer.Option("--quotas", help="Ask AWS for your service quotas, with your credentials.")
]
Region = Annotated[str | None, typer.Option("--region", help="AWS region; else the manifest's.")]


def command(  # noqa: PLR0913, PLR0917  one parameter an option
    files: Files = None,
    explain: Explain = False,
    explore: Explore = False,
    extrapolate: Extrapolate = False,
    compare: Compare = False,
    split: Split = None,
    plot: Plot = None,
    quotas: Quotas = False,
    region: Region = None,
    as_json: AsJson = False,
) -> int:
    """Say whether the model fits, how fast it is, what it costs, and how sure that is.

    Works offline, from dated and sourced figures. Exit code 1 means that nothing serves the load.
    """
    wishes = Wishes(region, explore, extrapolate)
    shares = _shares(split, compare=compare)
    draw = picture_writer(plot) if plot and not _is_terminal(plot, as_json=as_json) else None
    manifests: list[Path | None] = [*files] if files else [None]
    reports = [plan(file, wishes) for file in manifests]
    if quotas:
        reports = [_with_quota(report) for report in reports]
    if as_json:
        _print_data(reports, shares)
    elif compare:
        for line in table(reports):
            print_text(line)
        if shares:
            print_text(routing_text(routing(reports, shares), shares))
    else:
        for report in reports:
            _show(report, explain)
    if plot:
        _draw(reports, plot, draw)
    if not as_json:
        note("Next: penstock plan --explain shows the arithmetic")
    return ExitCode.OK if all(report.serves for report in reports) else ExitCode.FAILED


def plan(file: Path | None, wishes: Wishes) -> Report:
    """The plan of one manifest.

    Raises:
        ManifestError: the manifest is wrong.
        UserError: the size of its model is unknown.
    """
    manifest = load_manifest(file)
    catalogue = load_catalogue(refreshed_prices(), refreshed_spot())
    calibration = read_calibration(local_fits())
    shape = find_shape(manifest, catalogue, hub_cache())
    demand = ask(manifest, shape, wishes)
    catalogue.require_region(demand.region)
    around = Circumstances(
        today=datetime.now(UTC).date(),
        has_hub_token="HF_TOKEN" in os.environ,
        local=manifest.target.kind == "local",
        here=_here(manifest, demand, (catalogue, calibration)),
    )
    choice = choose(demand, catalogue, calibration)
    return make_report(manifest.name, demand, choice, (catalogue, calibration), around)


def _with_quota(report: Report) -> Report:
    quota = report.quota
    if quota is None:
        return report
    has = quota_value(quota.service, quota.name, report.demand.region)
    return replace(report, quota=replace(quota, has=has))


def _shares(split: str | None, *, compare: bool) -> tuple[float, ...]:
    if split is None:
        return ()
    if not compare:
        raise UserError("--split belongs to --compare", fix="Add --compare.")
    try:
        return tuple(float(share) for share in split.split(","))
    except ValueError as error:
        fix = "Give per cents with commas between them: --split 80,15,5."
        raise UserError(f"--split {split} are no shares", fix=fix) from error


def _print_data(reports: Sequence[Report], shares: Sequence[float]) -> None:
    told: list[dict[str, object]] = [as_data(report) for report in reports]
    if shares:
        print_json({"plans": told, "routing": routing(reports, shares)})
    else:
        print_json(told if len(told) > 1 else told[0])


def _is_terminal(plot: Path, *, as_json: bool) -> bool:
    if str(plot) != "-":
        return False
    if as_json:
        fix = "Leave one of them out, or name a file: --plot plan.svg."
        raise UserError("--plot - draws on stdout, which --json needs", fix=fix)
    return True


def _draw(reports: Sequence[Report], plot: Path, draw: Callable[[str, Path], None] | None) -> None:
    """Draw into files, or where there is no `draw`: in the terminal."""
    for report in reports:
        if draw is None:
            for line in pictures.terminal(report):
                print_text(line)
            continue
        several = len(reports) > 1
        file = plot.with_name(f"{plot.stem}-{report.name}{plot.suffix}") if several else plot
        draw(pictures.svg(report), file)
        note(f"drawn: {file}")


def _show(report: Report, explain: bool) -> None:
    for line in text.lines(report):
        print_text(line)
    if explain:
        for line in explaining.lines(report):
            print_text(line)


def _here(
    manifest: Manifest, demand: Demand, known: tuple[Catalogue, Calibration]
) -> here.Here | None:
    """How fast this machine is; none when the manifest is for another."""
    catalogue, calibration = known
    if manifest.target.kind != "local" or manifest.runs_elsewhere:
        return None
    gpu = here.machine(this_machine().as_data(), catalogue)
    if gpu is None:
        return None
    return here.estimate(demand, here.serve(demand, gpu, manifest.engine_kind), calibration)
