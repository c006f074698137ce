"""The fitted factors, how far they reach, and how sure they are.

`data/efficiency.json` holds what `python -m bench.plan_accuracy --fit` found: the factors, the
90 % quantile of the errors of sources that were left out (of dense models and of mixtures of
experts), where measurements lie, and what one source alone measured. An error bar is that
quantile, widened with the distance to the nearest measurement. Beyond `reach` there is no
estimate, unless the user asks for one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from math import exp, hypot, log
from typing import Any

from penstock.ground.errors import UserError
from penstock.sizing.fitting import from_data
from penstock.sizing.serving import Load
from penstock.sizing.speed import Efficiency, Served

_OTHER_GPU, _OTHER_PRECISION, _OTHER_KIND = 0.5, 0.5, 1.0
_LONELY = 2.0
"""A kind of GPU and model that one source alone measured, or none: a bar twice as wide."""
_PIPED = 2.0
"""A pipeline, of which one run was measured: a bar twice as wide."""
_WIDENING = 0.5
"""How much of itself a bar grows by for each unit of distance."""
_KIN = log(4)
"""Models up to four times larger or smaller share a machine's correction."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a measurement lies."""

    gpu: str
    architecture: str
    precision: str
    tensor_parallel: int
    parameters: float
    sparse: bool
    prompt: float
    output: float


@dataclass(frozen=True, slots=True)
class LocalFit:
    """What `penstock calibrate` found on a machine: measured over predicted, by metric.

    `bars` are log errors that were left after the correction, over `points` loads; `prompts` and
    `outputs` are the shortest and the longest of them, tokens.
    """

    gpu: str
    tensor_parallel: int
    precision: str
    engine: str
    model: str
    parameters: float
    sparse: bool
    factors: Mapping[str, float]
    bars: Mapping[str, float]
    prompts: Sequence[float]
    outputs: Sequence[float]
    points: int
    as_of: str

    def is_of(self, served: Served) -> bool:
        """Whether it was measured on such GPUs, with that precision and engine."""
        mine = (self.gpu, self.tensor_parallel, self.precision, self.engine)
        theirs = (served.gpu.name, served.tensor_parallel, served.precision.name, served.engine)
        return mine == theirs

    def is_kin_of(self, served: Served) -> bool:
        """Whether another model is near enough for the correction to help."""
        ratio = abs(log(self.parameters / served.shape.parameters))
        return self.sparse == bool(served.shape.experts) and ratio <= _KIN

    def outside(self, load: Load) -> float:
        """How far `load` is from what was measured; 0 within."""
        ranges = ((load.prompt, self.prompts), (load.output, self.outputs))
        gaps = (max(log(known[0] / value), log(value / known[1]), 0) for value, known in ranges)
        return sum(gaps) / log(8)


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 90 % bar."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Factors, bars (log errors by `kind_of` model and metric) and spots.

    `lonely` are the kinds of GPU and model that one source alone measured, or none with the
    planned engine; `local` comes from this machine.
    """

    efficiency: Efficiency
    bars: Mapping[str, Mapping[str, float]]
    spots: Sequence[Spot]
    lonely: Sequence[str]
    fitted_on: str
    local: tuple[LocalFit, ...] = ()

    def distance(self, served: Served, load: Load) -> float:
        """How far the nearest measurement is; 0 when it is the very same load."""
        here = spot_of(served, load)
        unsure = _PIPED if served.pipeline_parallel > 1 else 0.0
        unsure += _LONELY if company_of(served) in self.lonely else 0.0
        return unsure + min(_apart(spot, here) for spot in self.spots)

    def interval(
        self, metric: str, estimate: float, served: Served, load: Load, distance: float
    ) -> Interval:
        """`estimate` with its bar, corrected by this machine's own measurements if any.

        `distance` is that of `served` and `load`, which is the same for every metric.
        """
        found = self.local_fit(served)
        if found and metric in found.factors:
            middle = estimate * found.factors[metric]
            bar = found.bars[metric] * (1 + 2 * _WIDENING * found.outside(load))
        else:
            bar = self.bars[kind_of(served)][metric] * (1 + _WIDENING * distance)
            middle = estimate
        return Interval(middle * exp(-bar), middle, middle * exp(bar))

    def local_fit(self, served: Served) -> LocalFit | None:
        """What was measured here on the same GPUs, the newest first.

        Of the same model if possible; else of one that is near, with bars in between.
        """
        near = [fit for fit in reversed(self.local) if fit.is_of(served)]
        for fit in near:
            if fit.model.lower() == served.shape.id.lower():
                return fit
        for fit in near:
            if fit.is_kin_of(served):
                known = self.bars[kind_of(served)]
                bars = {metric: hypot(bar, known[metric] / 2) for metric, bar in fit.bars.items()}
                return replace(fit, bars=bars)
        return None

    def out_of_reach(self, served: Served, load: Load) -> str:
        """Why there is no estimate for this; empty when there is one."""
        if self.local_fit(served):
            return ""
        shape = served.shape
        if served.gpu.architecture not in {spot.architecture for spot in self.spots}:
            return f"no measurement on {served.gpu.name} or its kind"
        if served.pipeline_parallel > 1:
            return "one measurement alone with pipeline parallelism, of two H100"
        if shape.mla:
            return "no measurement with latent attention"
        sizes = [spot.parameters for spot in self.spots if spot.sparse == bool(shape.experts)]
        checks = (
            ("parameters", shape.parameters, sizes, 2.0),
            ("prompt tokens", load.prompt, [spot.prompt for spot in self.spots], 2.0),
            ("answer tokens", load.output, [spot.output for spot in self.spots], 4.0),
        )
        for name, value, known, slack in checks:
            if not min(known) / slack <= value <= max(known) * slack:
                return (
                    f"{value:,.0f} {name} is outside what was measured "
                    f"({min(known):,.0f} to {max(known):,.0f})"
                )
        return ""


def kind_of(served: Served) -> str:
    """Of which kind of model the bars are."""
    return "experts" if served.shape.experts else "dense"


def company_of(served: Served) -> str:
    """The kind of GPU and of model, as `Calibration.lonely` names them."""
    return f"{served.gpu.architecture} {kind_of(served)}"


def spot_of(served: Served, load: Load) -> Spot:
    """Where a load on a machine lies."""
    return Spot(
        served.gpu.name,
        served.gpu.architecture,
        served.precision.name,
        served.tensor_parallel,
        served.shape.parameters,
        bool(served.shape.experts),
        load.prompt,
        load.output,
    )


def read_calibration(local: Sequence[Mapping[str, Any]] = ()) -> Calibration:
    """The calibration of the package, with the machine's own fits laid over it.

    Raises:
        UserError: a fit has not the fields that this version writes.
    """
    text = files("penstock.sizing").joinpath("data", "efficiency.json").read_text("utf-8")
    data = json.loads(text)
    return Calibration(
        efficiency=from_data(data["factors"]),
        bars=data["bars"],
        spots=tuple(Spot(*row) for row in data["spots"]),
        lonely=tuple(data["lonely"]),
        fitted_on=data["fitted_on"],
        local=tuple(_local_fit(row) for row in local),
    )


def _local_fit(row: Mapping[str, Any]) -> LocalFit:
    try:
        return LocalFit(**row)
    except TypeError as error:
        raise UserError(
            "a calibration of this machine cannot be read",
            why="another version of Penstock wrote it",
            fix="Delete calibration.json in ~/.config/penstock and calibrate again.",
        ) from error


def _apart(a: Spot, b: Spot) -> float:
    gpu = 0.0 if a.gpu == b.gpu else _OTHER_GPU
    if a.architecture != b.architecture:
        gpu = 3.0
    precision = 0.0 if a.precision == b.precision else _OTHER_PRECISION
    kind = 0.0 if a.sparse == b.sparse else _OTHER_KIND
    sizes = (
        abs(log(a.parameters / b.parameters)) / log(8),
        abs(log(a.tensor_parallel / b.tensor_parallel)) / log(4),
        abs(log(a.prompt / b.prompt)) / log(8),
        abs(log(a.output / b.output)) / log(8),
    )
    return gpu + precision + kind + sum(sizes)
