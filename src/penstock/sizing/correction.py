"""What measurements of one machine say of its estimates: a factor a metric, and how sure it is.

The factor is the median of measured over predicted over all loads. Its bar is what is left after
it, at least 10 %; wider where few loads were measured, because then little can be left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median

from penstock.sizing.calibration import LocalFit
from penstock.sizing.serving import Load, closed_loop, open_loop
from penstock.sizing.speed import Efficiency, Served

_LEAST_BAR = 0.1
_MANY = 3
_FEW_BARS = {1: 0.3, 2: 0.2}


@dataclass(frozen=True, slots=True)
class Measured:
    """One load and what was seen: `clients`, or `requests_per_s` where there were none."""

    load: Load
    clients: float
    requests_per_s: float
    seen: Mapping[str, float]

    @property
    def name(self) -> str:
        """How a person would call the load."""
        if self.clients:
            return f"{self.clients:g} client{'s' if self.clients > 1 else ''}"
        return f"{self.requests_per_s:g} req/s"

    def predict(self, served: Served, efficiency: Efficiency, batch: float) -> dict[str, float]:
        """What the arithmetic says, by metric, before any correction."""
        if self.clients:
            told = closed_loop(served, efficiency, self.load, self.clients)
            known = {"ttft_ms": told.ttft_ms, "tpot_ms": told.tpot_ms}
            return known | {"tokens_per_s": told.tokens_per_s}
        steady = open_loop(served, efficiency, self.load, self.requests_per_s, batch)
        if not steady.stable:
            return {}
        return {"ttft_ms": steady.ttft_ms_p50, "tpot_ms": steady.tpot_ms}


@dataclass(frozen=True, slots=True)
class Point:
    """One metric of one load: measured, predicted before and after the correction."""

    load: str
    metric: str
    measured: float
    before: float
    after: float


def correct(
    served: Served,
    efficiency: Efficiency,
    measured: Sequence[Measured],
    as_of: str,
    batch: float = 32,
) -> LocalFit:
    """The correction that `measured` asks for; metrics that nobody saw are not in it."""
    ratios = _ratios(served, efficiency, measured, batch)
    logs = {metric: [log(r) for r in some] for metric, some in ratios.items() if some}
    middles = {metric: median(some) for metric, some in logs.items()}
    return LocalFit(
        gpu=served.gpu.name,
        tensor_parallel=served.tensor_parallel,
        precision=served.precision.name,
        engine=served.engine,
        model=served.shape.id,
        parameters=served.shape.parameters,
        sparse=bool(served.shape.experts),
        factors={metric: round(exp(middle), 5) for metric, middle in middles.items()},
        bars={metric: _bar(logs[metric], middle) for metric, middle in middles.items()},
        prompts=_range([each.load.prompt for each in measured]),
        outputs=_range([each.load.output for each in measured]),
        points=len(measured),
        as_of=as_of,
    )


def compare(
    served: Served,
    efficiency: Efficiency,
    measured: Sequence[Measured],
    known: LocalFit | None,
    batch: float = 32,
) -> list[Point]:
    """Each metric of each load before and after; `known` is the correction that held so far.

    With three loads or more, `after` comes from the others: what was measured does not judge
    itself.
    """
    points = []
    for each in measured:
        others = [other for other in measured if other is not each]
        basis = others if len(measured) >= _MANY else measured
        fit = correct(served, efficiency, basis, "", batch)
        predicted = each.predict(served, efficiency, batch)
        name = each.name
        for metric in (m for m in predicted if each.seen.get(m)):
            plain = predicted[metric]
            before = plain * (known.factors.get(metric, 1.0) if known else 1.0)
            after = plain * fit.factors.get(metric, 1.0)
            points.append(Point(name, metric, each.seen[metric], before, after))
    return points


def _ratios(
    served: Served, efficiency: Efficiency, measured: Sequence[Measured], batch: float
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for each in measured:
        for metric, predicted in each.predict(served, efficiency, batch).items():
            if each.seen.get(metric):
                found.setdefault(metric, []).append(each.seen[metric] / predicted)
    return found


def _bar(logs: Sequence[float], middle: float) -> float:
    left = max(abs(value - middle) for value in logs)
    return round(max(left, _FEW_BARS.get(len(logs), _LEAST_BAR)), 5)


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)
