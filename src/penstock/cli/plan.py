"""`penstock plan`: does it fit, how fast, how much, how sure."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from penstock.catalog.catalogue import load as load_catalogue
from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.cli.planning import local_fits, refreshed_prices
from penstock.manifest.loader import load as load_manifest
from penstock.plan import explain as explaining
from penstock.plan import text
from penstock.plan.question import Wishes, ask, find_shape
from penstock.plan.report import Circumstances, Report, as_data, make_report
from penstock.sizing.calibration import read_calibration
from penstock.sizing.choice import choose

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
Region = Annotated[str | None, typer.Option("--region", help="AWS region; else the manifest's.")]


def command(
    files: Files = None,
    explain: Explain = False,
    explore: Explore = False,
    extrapolate: Extrapolate = False,
    region: Region = None,
    as_json: AsJson = False,
) -> int:
    """Say whether the model fits, how fast it is, what it costs, and how sure that is.

    Works offline, from dated and sourced figures. Exit code 1 means that nothing serves the load.
    """
    wishes = Wishes(region, explore, extrapolate)
    manifests: list[Path | None] = [*files] if files else [None]
    reports = [plan(file, wishes) for file in manifests]
    if as_json:
        told = [as_data(report) for report in reports]
        print_json(told if len(told) > 1 else told[0])
    else:
        for report in reports:
            _show(report, explain)
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
    catalogue = load_catalogue(refreshed_prices())
    calibration = read_calibration(local_fits(Path.cwd()))
    shape = find_shape(manifest, catalogue, _hub_cache())
    demand = ask(manifest, shape, wishes)
    around = Circumstances(
        today=datetime.now(UTC).date(),
        has_hub_token="HF_TOKEN" in os.environ,
        local=manifest.target.kind == "local",
    )
    choice = choose(demand, catalogue, calibration)
    return make_report(manifest.name, demand, choice, (catalogue, calibration), around)


def _show(report: Report, explain: bool) -> None:
    for line in text.lines(report):
        print_text(line)
    if explain:
        for line in explaining.lines(report):
            print_text(line)


def _hub_cache() -> Path:
    home = os.environ.get("HF_HOME", str(Path.home() / ".cache" / "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE", str(Path(home) / "hub")))
