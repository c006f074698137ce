"""The choice: all ways to serve the load, the ones worth having, and why the others fall.

A candidate is worth having when no other is both cheaper a month and sooner with the first token;
the cheapest is the answer. Where nothing fits, the nearest things that would are named.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from penstock.catalog.catalogue import Catalogue
from penstock.sizing.calibration import Calibration
from penstock.sizing.candidate import Candidate, Fallen, Option, Scales
from penstock.sizing.demand import Demand
from penstock.sizing.memory import Layout, memory_use

_NEAREST = 3
_PATIENT_MS = 10_000.0


@dataclass(frozen=True, slots=True)
class Choice:
    """`pareto` is sorted by price, so its first is the cheapest; `serving` has all that serve."""

    pareto: tuple[Candidate, ...]
    serving: tuple[Candidate, ...]
    fallen: tuple[Fallen, ...]
    nearest: tuple[str, ...]

    @property
    def cheapest(self) -> Candidate | None:
        """The answer, if there is any."""
        return self.pareto[0] if self.pareto else None


def choose(demand: Demand, catalogue: Catalogue, calibration: Calibration) -> Choice:
    """Weigh every option of `demand`."""
    serving: list[Candidate] = []
    fallen: list[Fallen] = []
    scales = Scales(demand, catalogue, calibration)
    for option in options(demand, catalogue):
        found = scales.weigh(option)
        if isinstance(found, Candidate):
            serving.append(found)
        else:
            fallen.append(found)
    pareto = pareto_set(serving)
    nearest = () if pareto else tuple(_nearest(demand, catalogue, calibration))
    return Choice(pareto, tuple(serving), tuple(_one_each(fallen, serving)), nearest)


def options(demand: Demand, catalogue: Catalogue) -> Iterator[Option]:
    """Everything that could be tried, by machine type."""
    for instance in catalogue.instances.values():
        if demand.instances and not {instance.name, f"ml.{instance.name}"} & set(demand.instances):
            continue
        for place in demand.places:
            for precision in demand.precisions:
                for layout in layouts(demand, instance.gpus):
                    yield Option(instance, place, precision, layout)


def pareto_set(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The candidates that no other beats in both price and time to the first token."""
    best: list[Candidate] = []
    for candidate in sorted(candidates, key=_rank):
        if not best or candidate.ttft_ms_p95.middle < best[-1].ttft_ms_p95.middle * 0.99:
            best.append(candidate)
    return tuple(best)


def _rank(candidate: Candidate) -> tuple[float, float]:
    return candidate.bill.usd_per_month, candidate.ttft_ms_p95.middle


def layouts(demand: Demand, gpus: int) -> Iterator[Layout]:
    """The ways to lay one copy over up to `gpus` GPUs: tensor parallel, and in a pipeline."""
    for depth in demand.depths:
        if depth > max(gpus, 1) and depth != demand.layout.pipeline_parallel:
            continue
        for degree in _degrees(demand, gpus // depth):
            yield replace(demand.layout, tensor_parallel=degree, pipeline_parallel=depth)


def _degrees(demand: Demand, most: int) -> tuple[int, ...]:
    asked, heads = demand.layout, demand.shape.heads
    if asked.tensor_parallel > 1:
        return (asked.tensor_parallel,)
    return (1, *(degree for degree in (2, 4, 8) if degree <= most and heads % degree == 0))


def _one_each(fallen: Sequence[Fallen], serving: Sequence[Candidate]) -> Iterator[Fallen]:
    """One line for each machine type that serves in no way: the way that came closest."""
    served = {candidate.option.instance.name for candidate in serving}
    closest: dict[str, Fallen] = {}
    for each in fallen:
        name = each.option.instance.name
        known = closest.get(name)
        if name in served:
            continue
        if known is None or _closeness(each) < _closeness(known):
            closest[name] = each
    yield from closest.values()


def _closeness(fallen: Fallen) -> tuple[int, float]:
    return (1 if fallen.missing_gib else 0, fallen.missing_gib)


def _nearest(demand: Demand, catalogue: Catalogue, calibration: Calibration) -> Iterator[str]:
    """What would serve, the smallest change first: precision, context, layout, machine, time."""
    told = 0
    for name, changed in _changes(demand, _fitting_context(demand, catalogue)):
        if changed == demand or told >= _NEAREST:
            continue
        scales = Scales(changed, catalogue, calibration)
        found = (scales.weigh(option) for option in options(changed, catalogue))
        serves = pareto_set(each for each in found if isinstance(each, Candidate))
        if serves:
            told += 1
            best = serves[0]
            late = (
                ""
                if best.ttft_ms_p95.middle <= demand.ttft_ms_p95
                else (f", first token {best.ttft_ms_p95.middle:,.0f} ms")
            )
            yield (
                f"{name}: {best.machines} x {best.option.name}, "
                f"{best.bill.usd_per_month:,.0f} USD a month{late}"
            )


def _changes(demand: Demand, fitting: int) -> Iterator[tuple[str, Demand]]:
    """One thing changed at a time, then what has to give way with it."""
    if demand.place == "sagemaker serverless":
        yield "target.mode: realtime", replace(demand, place="sagemaker realtime")
    quantised = [(f"quantization: {q}", replace(demand, quantization=q)) for q in ("fp8", "awq")]
    free = replace(demand, layout=replace(demand.layout, tensor_parallel=1))
    yield from quantised
    if fitting:
        yield f"context: {fitting}", replace(demand, context=fitting)
    yield "tensor_parallel left open", free
    yield "any number of machines", replace(demand, most_machines=0)
    yield "any instance type", replace(demand, instances=())
    patient = replace(demand, ttft_ms_p95=_PATIENT_MS)
    yield f"ttft_ms_p95: {_PATIENT_MS:g}", patient
    for name, changed in quantised:
        late = replace(changed, ttft_ms_p95=_PATIENT_MS)
        yield f"{name} and ttft_ms_p95: {_PATIENT_MS:g}", late
    for name, changed in quantised:
        yield f"{name} on any instance type", replace(changed, instances=())
    yield "--extrapolate", replace(demand, extrapolate=True)
    for name, changed in quantised:
        yield f"{name} and --extrapolate", replace(changed, extrapolate=True)
    yield "any instance type and --extrapolate", replace(demand, instances=(), extrapolate=True)


def _fitting_context(demand: Demand, catalogue: Catalogue) -> int:
    """The longest context that fits any option, a multiple of 256; 0 where that helps nothing."""
    tried = (option for option in options(demand, catalogue) if option.instance.gpu)
    longest = max((largest_context(demand, option) for option in tried), default=0) // 256 * 256
    typical = demand.load.prompt + demand.load.output
    return longest if typical <= longest < demand.context else 0


def largest_context(demand: Demand, option: Option) -> int:
    """The longest context of which one sequence fits, tokens; 0 if not even one token does."""
    memory = option.instance.gpu_seen_mib
    use = memory_use(demand.shape, option.precision, memory, option.layout)
    low, high = 0, demand.shape.context
    while low < high:
        middle = (low + high + 1) // 2
        if use.missing_gib(middle):
            high = middle - 1
        else:
            low = middle
    return low
