"""Fit the factors of `speed.py` to measurements, and see how far they can be trusted.

The idea: the factors are few and all positive, so they are moved one by one, up and down by a
shrinking step, in logarithms, as long as the sum of absolute log errors falls (absolute, not
squared: a slow host must not drag a whole architecture). How far to trust them is told by leaving
out one source at a time and fitting again to the others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import exp, log
from typing import Any

from penstock.sizing.observations import Observation
from penstock.sizing.speed import CURRENT_ENGINE, Efficiency

_FIRST_STEP, _LAST_STEP = 0.4, 0.01
_MOST_ERROR = 0.7
"""A larger log error counts as this: such a row is about something else."""
_FORMER_ENGINE = 0.1
"""What a row of an engine that is not planned for counts, where it shares factors with others."""
_PRIOR = 0.15
"""Pull of each factor to its starting value, so that what no row touches stays there."""

START = Efficiency(
    bandwidth={
        "turing": 0.7,
        "volta": 0.7,
        "ampere-gddr": 0.8,
        "ampere-hbm": 0.75,
        "ada": 0.8,
        "hopper": 0.7,
        "blackwell-gddr": 0.7,
        "blackwell": 0.6,
        "cpu": 0.5,
    },
    compute={
        "turing": 0.4,
        "volta": 0.4,
        "ampere-gddr": 0.55,
        "ampere-hbm": 0.6,
        "ada": 0.5,
        "hopper": 0.5,
        "blackwell-gddr": 0.45,
        "blackwell": 0.4,
        "cpu": 0.3,
    },
    step_ms={"vllm-v0": 2.0, "vllm-v1": 1.0, "vllm-cpu": 4.0, "embedded": 0.5},
    sequence_ms={"vllm-v0": 0.05, "vllm-v1": 0.02, "vllm-cpu": 0.1, "embedded": 0.5},
    exchange_ms={"nvlink": 0.02, "pcie": 0.04},
    link={"nvlink": 0.5, "pcie": 0.4},
    first_ms={"vllm-v0": 10.0, "vllm-v1": 6.0, "vllm-cpu": 20.0, "embedded": 10.0},
    layer_ms={"vllm-v0": 0.03, "vllm-v1": 0.03, "vllm-cpu": 0.2, "embedded": 0.1},
    first_layer_ms={"vllm-v0": 0.2, "vllm-v1": 0.1, "vllm-cpu": 0.5, "embedded": 0.1},
    weight_only={"vllm-v0": 0.5, "vllm-v1": 0.7, "vllm-cpu": 0.5, "embedded": 0.5},
    http_ms={"vllm-v0": 8.0, "vllm-v1": 8.0, "vllm-cpu": 8.0, "embedded": 2.0},
    admit_ms={"vllm-v0": 1.0, "vllm-v1": 1.0, "vllm-cpu": 1.0, "embedded": 0.5},
    stream_ms={"vllm-v0": 0.03, "vllm-v1": 0.03, "vllm-cpu": 0.03, "embedded": 0.03},
    experts_ms=0.05,
    experts_bandwidth=0.7,
    experts_compute=0.6,
    narrow=0.7,
)
"""Where the search begins, and what holds where nothing was measured: for CPUs it is a guess."""


@dataclass(frozen=True, slots=True)
class Residual:
    """One prediction against its measurement: the log of predicted over measured."""

    observation: Observation
    metric: str
    predicted: float
    measured: float

    @property
    def log_ratio(self) -> float:
        """0 when exact, 0.1 when the prediction is 10 % too high."""
        return log(self.predicted / self.measured)


def residuals(efficiency: Efficiency, rows: Sequence[Observation]) -> list[Residual]:
    """Every metric of every row, excluded rows aside."""
    found = []
    for row in rows:
        if row.excluded:
            continue
        predicted = row.predict(efficiency)
        found += [
            Residual(row, metric, predicted[metric], row.seen[metric]) for metric in row.seen
        ]
    return found


def fit(rows: Sequence[Observation], start: Efficiency = START, rounds: int = 40) -> Efficiency:
    """The factors that fit `rows` best, from `start`."""
    used = [row for row in rows if not row.excluded]
    best, step = start, _FIRST_STEP
    touched = {factor: [row for row in used if _touches(factor, row)] for factor in _factors(best)}
    for _ in range(rounds):
        moved = False
        for factor, some in touched.items():
            loss = _loss(best, some, factor)
            for change in (step, -step):
                tried = _scaled(best, factor, exp(change))
                if _loss(tried, some, factor) < loss * 0.9999:
                    best, moved = tried, True
                    break
        step = step if moved else step / 2
        if step < _LAST_STEP:
            break
    return best


def leave_one_source_out(
    rows: Sequence[Observation], fitted: Efficiency, told: Callable[[str], object] = str
) -> list[Residual]:
    """The residuals of each source's rows, of the planned engine, under factors fitted without it.

    A whole source is left out, since its runs share a host, a client and a way of measuring.
    """
    found = []
    used = [r for r in rows if not r.excluded and r.served.engine == CURRENT_ENGINE]
    for source in dict.fromkeys(row.source for row in used):
        others = [row for row in rows if row.source != source]
        without = fit(others, fitted, rounds=8)
        found += residuals(without, [row for row in used if row.source == source])
        told(source)
    return found


def as_data(efficiency: Efficiency) -> dict[str, Any]:
    """The factors as plain data, for a file."""
    return {f.name: _plain(getattr(efficiency, f.name)) for f in fields(efficiency)}


def from_data(data: Mapping[str, Any]) -> Efficiency:
    """The factors of `as_data`."""
    return Efficiency(**{f.name: data[f.name] for f in fields(Efficiency)})


def _plain(value: Mapping[str, float] | float) -> dict[str, float] | float:
    if isinstance(value, Mapping):
        return {key: round(number, 5) for key, number in value.items()}
    return round(value, 5)


def _loss(efficiency: Efficiency, rows: Sequence[Observation], factor: tuple[str, str]) -> float:
    errors = sum(
        min(abs(found.log_ratio), _MOST_ERROR) * _weight(found.observation)
        for found in residuals(efficiency, rows)
    )
    return errors + _PRIOR * abs(log(_get(efficiency, factor) / _get(START, factor)))


def _weight(row: Observation) -> float:
    return 1.0 if row.served.engine == CURRENT_ENGINE else _FORMER_ENGINE


def _touches(factor: tuple[str, str], row: Observation) -> bool:
    served = row.served
    keys = {served.gpu.architecture, served.engine, ""}
    many = served.tensor_parallel * served.pipeline_parallel > 1
    return factor[1] in (keys | {served.gpu.link} if many else keys)


def _factors(efficiency: Efficiency) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for f in fields(efficiency):
        value = getattr(efficiency, f.name)
        found += [(f.name, key) for key in value] if isinstance(value, Mapping) else [(f.name, "")]
    return found


def _get(efficiency: Efficiency, factor: tuple[str, str]) -> float:
    name, key = factor
    value = getattr(efficiency, name)
    return float(value[key] if key else value)


def _scaled(efficiency: Efficiency, factor: tuple[str, str], by: float) -> Efficiency:
    name, key = factor
    values = {f.name: getattr(efficiency, f.name) for f in fields(efficiency)}
    if key:
        values[name] = {**values[name], key: values[name][key] * by}
        if name in ("bandwidth", "compute", "link"):
            values[name][key] = min(values[name][key], 1.0)
    else:
        values[name] = values[name] * by
    return Efficiency(**values)
