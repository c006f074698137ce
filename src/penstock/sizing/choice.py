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
from penstock.sizing.memory import memory_use

_NEAREST = 3


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
                for degree in _degrees(demand, instance.gpus):
                    layout = replace(demand.layout, tensor_parallel=degree)
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


def _degrees(demand: Demand, gpus: int) -> tuple[int, ...]:
    if demand.layout.tensor_parallel > 1:
        return (demand.layout.tensor_parallel,) if demand.layout.tensor_parallel <= gpus else ()
    shape = demand.shape
    fits = (degree for degree in (1, 2, 4, 8) if degree <= gpus and shape.heads % degree == 0)
    return tuple(fits) or (1,)


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
    """What would serve: another quantisation, a shorter context, another machine, more of them."""
    changes = (
        *((f"quantization: {q}", replace(demand, quantization=q)) for q in ("fp8", "awq")),
        *((f"context: {c}", replace(demand, context=c)) for c in _shorter(demand)),
        ("any instance type", replace(demand, instances=())),
        ("any number of machines", replace(demand, most_machines=0)),
        ("tensor_parallel left open", _free(demand)),
        ("a first token within 10 s", replace(demand, ttft_ms_p95=10_000)),
        ("--extrapolate", replace(demand, extrapolate=True)),
        ("any instance type, --extrapolate", replace(demand, instances=(), extrapolate=True)),
    )
    told = 0
    for name, changed in changes:
        if changed == demand or told >= _NEAREST:
            continue
        scales = Scales(changed, catalogue, calibration)
        found = (scales.weigh(option) for option in options(changed, catalogue))
        serves = pareto_set(each for each in found if isinstance(each, Candidate))
        if serves:
            told += 1
            best = serves[0]
            yield (
                f"{name}: {best.machines} x {best.option.name}, "
                f"{best.bill.usd_per_month:,.0f} USD a month"
            )


def _free(demand: Demand) -> Demand:
    return replace(demand, layout=replace(demand.layout, tensor_parallel=1))


def _shorter(demand: Demand) -> tuple[int, ...]:
    typical = demand.load.prompt + demand.load.output
    return tuple(c for c in (65536, 32768, 16384, 8192, 4096) if typical <= c < demand.context)


def largest_context(demand: Demand, option: Option) -> int:
    """The longest context of which one sequence fits, tokens; 0 if not even one token does."""
    memory = option.instance.gpu_memory_mib
    use = memory_use(demand.shape, option.precision, memory, option.layout)
    low, high = 0, demand.shape.context
    while low < high:
        middle = (low + high + 1) // 2
        if use.missing_gib(middle):
            high = middle - 1
        else:
            low = middle
    return low
