"""How right the planner is: `make plan-accuracy`, or with --fit: fit its factors anew.

Prints the median absolute error on runs that the factors were not fitted to, by metric, and how
many of them lie inside the error bars: `held_out.json` was looked at while the model was made,
`held_out_fresh.json` was chosen and locked away before; see docs/plan-accuracy.md. `--fit` fits to
`calibration.json`, leaves out one run at a time for the bars (two minutes), and writes
`efficiency.json`. `--rows` shows every row of the sets that were looked at.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from penstock.catalog.catalogue import load
from penstock.sizing import calibration as reach
from penstock.sizing.calibration import Calibration, read_calibration, spot_of
from penstock.sizing.fitting import Residual, as_data, fit, leave_one_run_out, residuals
from penstock.sizing.observations import METRICS, Observation, read_observations
from penstock.sizing.speed import CURRENT_ENGINE

AIMS = {"tokens_per_s": 15, "tpot_ms": 12, "ttft_ms": 20}
"""Median absolute error in percent that issue and documentation aim at."""
HELD_OUT = {
    "held_out": "held out (seen while the model was made)",
    "held_out_fresh": "held out (fresh: judged once)",
    "held_out_circulating": "figures that circulate (vLLM of 2024)",
}
FILE = Path(reach.__file__).parent / "data" / "efficiency.json"


def main(arguments: Sequence[str]) -> int:
    """Judge the factors; with --fit, fit and write them first."""
    catalogue = load()
    rows = read_observations("calibration", catalogue)
    if "--fit" in arguments:
        write(rows)
    calibration = read_calibration()
    print(f"calibrated on {_count(rows)}; fitted on {calibration.fitted_on}")
    for name, title in HELD_OUT.items():
        judge(title, read_observations(name, catalogue), calibration, each="--rows" in arguments)
    return 0


def judge(
    title: str, held: Sequence[Observation], calibration: Calibration, *, each: bool
) -> None:
    """Print how far the predictions for one set of left-out rows are from what was measured."""
    used = [row for row in held if not row.excluded]
    inside = [row for row in used if not _reach(calibration, row)]
    far = len(used) - len(inside)
    print(f"\n{title}: {_count(held)}; outside the calibrated range, so not estimated: {far}")
    found = residuals(calibration.efficiency, inside)
    print(f"{'metric':14} {'points':>6} {'median error':>13} {'aim':>5} {'inside bars':>12}")
    for metric in METRICS:
        some = [one for one in found if one.metric == metric]
        if some:
            print(_line(metric, some, calibration))
    covered = [_covered(one, calibration) for one in found]
    print(f"inside the bars: {sum(covered)} of {len(covered)} ({sum(covered) / len(covered):.0%})")
    for one in found if each else ():
        print(_row(one, calibration))


def write(rows: Sequence[Observation]) -> None:
    """Fit the factors and their bars, and write them to the package."""
    fitted = fit(rows)
    left_out = leave_one_run_out(rows, fitted, told=lambda run: print(run, file=sys.stderr))
    planned_for = [r for r in left_out if r.observation.served.engine == CURRENT_ENGINE]
    bars = {m: _quantile(abs(r.log_ratio) for r in planned_for if r.metric == m) for m in METRICS}
    spots = dict.fromkeys(spot_of(row.served, row.load) for row in rows if not row.excluded)
    data = {
        "fitted_on": datetime.now(UTC).date().isoformat(),
        "factors": as_data(fitted),
        "bars": bars,
        "spots": [list(astuple(spot)) for spot in spots],
    }
    FILE.write_text(json.dumps(data) + "\n", encoding="utf-8")


def _quantile(errors: Iterable[float]) -> float:
    ordered = sorted(errors)
    return round(ordered[min(int(0.9 * len(ordered)), len(ordered) - 1)], 4)


def _reach(calibration: Calibration, row: Observation) -> str:
    return calibration.out_of_reach(row.served, row.load)


def _covered(found: Residual, calibration: Calibration) -> bool:
    row = found.observation
    bar = calibration.interval(
        found.metric,
        found.predicted,
        row.served,
        row.load,
        calibration.distance(row.served, row.load),
    )
    return bar.low <= found.measured <= bar.high


def _line(metric: str, found: Sequence[Residual], calibration: Calibration) -> str:
    error = median(abs(each.predicted / each.measured - 1) for each in found)
    covered = sum(_covered(each, calibration) for each in found)
    share = f"{covered} of {len(found)}"
    return f"{metric:14} {len(found):6} {error:12.1%} {AIMS[metric]:>4}% {share:>12}"


def _row(found: Residual, calibration: Calibration) -> str:
    row = found.observation
    mark = "" if _covered(found, calibration) else "  outside the bar"
    load_ = f"{row.load.prompt:.0f}/{row.load.output:.0f}"
    return (
        f"{row.run:28} {row.kind:9} {row.clients or row.requests:5.0f} {load_:>10} "
        f"{found.metric:13} {found.predicted:9.1f} {found.measured:9.1f} "
        f"{found.predicted / found.measured - 1:+.0%}{mark}"
    )


def _count(rows: Sequence[Observation]) -> str:
    used = [row for row in rows if not row.excluded]
    runs, sources = {row.run for row in used}, {row.source for row in used}
    return f"{len(used)} loads of {len(runs)} runs from {len(sources)} sources"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
