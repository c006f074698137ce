"""How right the planner is: `make plan-accuracy`, or with --fit: fit its factors anew.

Prints the median absolute error on runs that the factors were not fitted to, by metric, and how
many of them lie inside the error bars: `held_out.json` was looked at while the model was made,
`held_out_fresh.json` and `held_out_second.json` were chosen before any error on them was computed;
see docs/plan-accuracy.md. `--fit` fits to `calibration.json`, leaves out one source at a time for
the bars (two minutes), and writes `efficiency.json`. `--rows` shows every row.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from penstock.catalog.catalogue import load
from penstock.sizing import calibration as reach
from penstock.sizing.calibration import (
    Calibration,
    company_of,
    kind_of,
    read_calibration,
    spot_of,
)
from penstock.sizing.fitting import Residual, as_data, fit, leave_one_source_out, residuals
from penstock.sizing.observations import METRICS, Observation, read_observations
from penstock.sizing.speed import CURRENT_ENGINE

AIMS = {"tokens_per_s": 15, "tpot_ms": 12, "ttft_ms": 20}
"""Median absolute error in percent that issue and documentation aim at."""
HELD_OUT = {
    "held_out": "held out (seen while the model was made)",
    "held_out_fresh": "held out (fresh: judged once a change of the model)",
    "held_out_second": "held out (second fresh set: judged once)",
    "held_out_circulating": "figures that circulate (vLLM of 2024)",
}
OF_TODAY = ("held_out", "held_out_fresh", "held_out_second")
_COMPANY = 2
"""Sources that a kind of GPU and model takes to be judged by leaving one out."""
FILE = Path(reach.__file__).parent / "data" / "efficiency.json"


def main(arguments: Sequence[str]) -> int:
    """Judge the factors; with --fit, fit and write them first."""
    catalogue = load()
    rows = read_observations("calibration", catalogue)
    if "--fit" in arguments:
        write(rows)
    calibration = read_calibration()
    print(f"calibrated on {_count(rows)}; fitted on {calibration.fitted_on}")
    sets = {name: read_observations(name, catalogue) for name in HELD_OUT}
    for name, title in HELD_OUT.items():
        judge(title, sets[name], calibration, each="--rows" in arguments)
    together = [row for name in OF_TODAY for row in sets[name]]
    judge("the three held-out sets of vLLM of today together", together, calibration, each=False)
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
    left_out = leave_one_source_out(rows, fitted, told=lambda name: print(name, file=sys.stderr))
    lonely = _lonely(rows)
    bars = {
        kind: {metric: _quantile(left_out, kind, metric, lonely) for metric in METRICS}
        for kind in ("dense", "experts")
    }
    spots = dict.fromkeys(spot_of(row.served, row.load) for row in rows if not row.excluded)
    data = {
        "fitted_on": datetime.now(UTC).date().isoformat(),
        "factors": as_data(fitted),
        "bars": bars,
        "lonely": lonely,
        "spots": [list(astuple(spot)) for spot in spots],
    }
    FILE.write_text(json.dumps(data) + "\n", encoding="utf-8")


def _lonely(rows: Sequence[Observation]) -> list[str]:
    """The kinds of GPU and model of which one source or none measured the planned engine."""
    sources: dict[str, set[str]] = {}
    for row in rows:
        found = sources.setdefault(company_of(row.served), set())
        if row.served.engine == CURRENT_ENGINE and not row.excluded:
            found.add(row.source)
    return sorted(company for company, known in sources.items() if len(known) < _COMPANY)


def _quantile(found: Sequence[Residual], kind: str, metric: str, lonely: Sequence[str]) -> float:
    """The 90 % quantile of log errors, of those that others could tell anything of."""
    errors = sorted(
        abs(each.log_ratio)
        for each in found
        if each.metric == metric
        and kind_of(each.observation.served) == kind
        and company_of(each.observation.served) not in lonely
    )
    return round(errors[min(int(0.9 * len(errors)), len(errors) - 1)], 4)


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
