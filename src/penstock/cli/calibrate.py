"""`penstock calibrate`: let measurements of a machine improve the plans for it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.table import Column, Table

from penstock.catalog.catalogue import Catalogue
from penstock.catalog.catalogue import load as load_catalogue
from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text, terminal
from penstock.cli.planning import calibration_file, hub_cache, local_fits, save_rows
from penstock.ground.errors import UserError
from penstock.ground.wording import numbered
from penstock.manifest.model import Manifest
from penstock.measurement.result import Result, read
from penstock.measurement.summary import Summary
from penstock.plan.question import Wishes, ask, find_shape
from penstock.sizing import here
from penstock.sizing.calibration import LocalFit, read_calibration
from penstock.sizing.correction import Measured, Point, compare, correct
from penstock.sizing.serving import Load
from penstock.sizing.speed import Served

_NAMES = {"tokens_per_s": "tokens/s", "tpot_ms": "TPOT ms", "ttft_ms": "TTFT ms"}

Files = Annotated[
    list[Path], typer.Argument(metavar="RESULT...", help="Files that `penstock bench` wrote.")
]
Hardware = Annotated[
    str | None,
    typer.Option(
        "--hardware", help="What was measured: g5.xlarge, or H100; else as the file says."
    ),
]
Model = Annotated[
    str | None, typer.Option("--model", help="Which model it was; else the file's manifest's.")
]


def command(
    files: Files, hardware: Hardware = None, model: Model = None, as_json: AsJson = False
) -> int:
    """Let measurements of a machine improve the plans for it.

    Shows how far the estimates were off, and how far they are now. Several results of the same
    machine and model count together; what was known of them before is replaced.
    """
    catalogue = load_catalogue()
    results = [read(file) for file in files]
    served = _served(results, catalogue, hardware, model)
    measured = [
        _measured(run)
        for each in results
        for run in each.runs
        if run.requests and run.tokens_per_s
    ]
    if not measured:
        raise UserError("no load in these results got an answer", fix="Measure again.")
    calibration = read_calibration(local_fits())
    known = calibration.local_fit(served)
    points = compare(served, calibration.efficiency, measured, known)
    fit = correct(served, calibration.efficiency, measured, results[-1].at[:10])
    place = calibration_file()
    save_rows(place, [*_others(fit), asdict(fit)])
    if as_json:
        shown = [asdict(point) for point in points]
        print_json({"file": str(place), "fit": asdict(fit), "points": shown})
    else:
        _show(fit, points)
    note(f"written to {place}; next: penstock plan")
    return ExitCode.OK


def _served(
    results: Sequence[Result], catalogue: Catalogue, hardware: str | None, model: str | None
) -> Served:
    """What was measured. All results must tell of the same machine and model."""
    found = [_served_in(result, catalogue, hardware, model) for result in results]
    if any(each != found[0] for each in found):
        raise UserError(
            "these results are of different machines, models or engines",
            fix="Calibrate with one machine's results at a time.",
        )
    return found[0]


def _served_in(
    result: Result, catalogue: Catalogue, hardware: str | None, model: str | None
) -> Served:
    facts = {"named": hardware} if hardware else result.hardware
    gpu = here.machine(facts, catalogue)
    if gpu is None:
        raise UserError(
            f"nobody said what {result.url} runs on",
            fix="Say it: --hardware g5.xlarge, or --hardware H100.",
        )
    sections = {"model": dict(result.manifest["model"]), "engine": dict(result.manifest["engine"])}
    if model:
        sections["model"]["id"] = model
    manifest = Manifest.model_validate(sections)
    shape = find_shape(manifest, catalogue, hub_cache())
    return here.serve(ask(manifest, shape, Wishes()), gpu, result.engine)


def _measured(run: Summary) -> Measured:
    seen = {"ttft_ms": run.ttft_ms.p50, "tpot_ms": run.tpot_ms.p50}
    if run.clients:
        seen["tokens_per_s"] = run.tokens_per_s
    load = Load(run.prompt_tokens, run.output_tokens)
    return Measured(load, run.clients, run.requests_per_s_asked, seen)


def _others(fit: LocalFit) -> list[dict[str, object]]:
    """The rows of the user's file that are about something else."""
    key = ("gpu", "tensor_parallel", "precision", "engine", "model")
    mine = [getattr(fit, name) for name in key]
    return [row for row in local_fits() if [row.get(name) for name in key] != mine]


def _show(fit: LocalFit, points: Sequence[Point]) -> None:
    loads = numbered(fit.points, "load")
    print_text(f"{fit.model} on {fit.gpu}, {fit.engine}, {fit.precision}: {loads}")
    right = ("measured", "before", "off by", "after", "off by")
    table = Table(
        Column("load"), Column(""), *(Column(name, justify="right") for name in right), box=None
    )
    for point in points:
        before, after = point.before / point.measured - 1, point.after / point.measured - 1
        table.add_row(
            point.load,
            _NAMES[point.metric],
            f"{point.measured:,.1f}",
            f"{point.before:,.1f}",
            f"{before:+.0%}",
            f"{point.after:,.1f}",
            f"{after:+.0%}",
        )
    terminal().print(table)
    before, after = (
        median(abs(getattr(p, name) / p.measured - 1) for p in points)
        for name in ("before", "after")
    )
    print_text(f"median error {before:.0%} before, {after:.0%} after")
    if fit.points >= 3:
        print_text("Each load's `after` comes from the other loads.")
