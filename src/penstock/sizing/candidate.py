"""One way to serve the load: does it fit, is it fast enough, what does it cost; why it falls."""

from dataclasses import dataclass, field
from math import ceil

from penstock.catalog.catalogue import HOME_REGION, Catalogue
from penstock.catalog.records import Gpu, Instance
from penstock.sizing.billing import bill, machine_item
from penstock.sizing.calibration import Calibration, Interval
from penstock.sizing.demand import Demand
from penstock.sizing.memory import Layout, MemoryUse, memory_use
from penstock.sizing.precision import PRECISIONS, Precision
from penstock.sizing.price import UNCHECKED_SPREAD, Bill
from penstock.sizing.serving import Steady, most_requests_per_s, open_loop
from penstock.sizing.speed import Served

_NO_KERNELS = {"fp8": ("turing", "volta"), "awq": ("volta",), "gptq": ("volta",)}
"""Architectures whose kernels do not read a quantisation; vLLM's docs, "Quantization"."""


@dataclass(frozen=True, slots=True)
class Option:
    """A machine type, a place, a precision and a layout that could be tried."""

    instance: Instance
    place: str
    precision: Precision
    layout: Layout

    @property
    def copies(self) -> int:
        """Copies of the model on one machine."""
        return max(self.instance.gpus // self.layout.gpus, 1)

    @property
    def name(self) -> str:
        """The type as its price list calls it."""
        prefix = "ml." if self.place.startswith("sagemaker") else ""
        return prefix + self.instance.name


@dataclass(frozen=True, slots=True)
class Fallen:
    """An option that does not serve; `missing_gib` is how much memory a GPU lacks, if that."""

    option: Option
    why: str
    missing_gib: float = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An option that serves the load with `machines` machines, each copy at its share of it."""

    option: Option
    served: Served
    use: MemoryUse
    batch: int
    machines: int
    capacity_rpm: Interval
    ttft_ms_p50: Interval
    ttft_ms_p95: Interval
    tpot_ms: Interval
    steady: Steady
    bill: Bill
    notes: tuple[str, ...]
    extrapolated: str = ""


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of the model on its GPUs: what fits, and how much it takes."""

    served: Served
    use: MemoryUse
    batch: int
    most_rpm: float
    distance: float
    extrapolated: str


CopyKey = tuple[str, float, str, Layout]
"""GPU, its memory in MiB, precision and layout: what a copy depends on."""


@dataclass(frozen=True, slots=True)
class Scales:
    """Weighs options; machines with the same GPUs are computed once (`copies` is the memory)."""

    demand: Demand
    catalogue: Catalogue
    calibration: Calibration
    copies: dict[CopyKey, Copy | tuple[str, float]] = field(default_factory=dict)

    def weigh(self, option: Option) -> Candidate | Fallen:
        """The option as a candidate, or why it falls."""
        refused = _refusal(option, self.demand, self.catalogue)
        if refused:
            return Fallen(option, refused)
        instance = option.instance
        key = (instance.gpu, instance.gpu_seen_mib, option.precision.name, option.layout)
        if key not in self.copies:
            self.copies[key] = _copy(option, self.demand, self.catalogue, self.calibration)
        copy = self.copies[key]
        if isinstance(copy, tuple):
            return Fallen(option, *copy)
        return _count(option, copy, self)


def _copy(
    option: Option, demand: Demand, catalogue: Catalogue, calibration: Calibration
) -> Copy | tuple[str, float]:
    """A copy of the model, or why there is none and the GiB that a GPU lacks."""
    instance = option.instance
    use = memory_use(demand.shape, option.precision, instance.gpu_seen_mib, option.layout)
    if lacks := use.missing_gib(demand.context):
        need = use.usable_gib + lacks
        return f"needs {need:.1f} GiB a GPU, has {use.usable_gib:.1f} usable", lacks
    served = _served(option, demand, catalogue.gpus[instance.gpu])
    unknown = demand.server.unmeasured or calibration.out_of_reach(served, demand.load)
    if unknown and not demand.extrapolate:
        return f"{unknown} (--extrapolate)", 0.0
    tokens = demand.load.prompt + demand.load.output
    batch = min(option.layout.max_sequences, use.sequences(tokens))
    most_rpm = _most_rpm(served, demand, calibration, batch)
    if most_rpm <= 0:
        return _too_slow(served, demand, calibration, batch), 0.0
    distance = calibration.distance(served, demand.load)
    return Copy(served, use, batch, most_rpm, distance, unknown)


def _count(option: Option, copy: Copy, scales: Scales) -> Candidate | Fallen:
    """How many machines of the option the load takes, and what they cost."""
    demand, catalogue = scales.demand, scales.catalogue
    each = copy.most_rpm * option.copies
    machines = max(ceil(demand.requests_per_minute / each), demand.least_machines, 1)
    if demand.most_machines and machines > demand.most_machines:
        why = f"the load takes {machines} of them, scale.max is {demand.most_machines}"
        return Fallen(option, why)
    price, _ = catalogue.price(option.name, demand.region)
    if price is None:
        return Fallen(option, "its price is unknown")
    return _candidate(option, copy, machines, scales)


def _refusal(option: Option, demand: Demand, catalogue: Catalogue) -> str:
    instance, precision = option.instance, option.precision.name
    if instance.unsupported:
        return instance.unsupported
    gpu = catalogue.gpus[instance.gpu]
    missing = gpu.architecture.startswith(_NO_KERNELS.get(precision, ()))
    lacks = (
        (option.place == "sagemaker serverless", "serverless inference has no GPU"),
        (
            option.layout.gpus > instance.gpus,
            f"it has fewer GPUs than the {option.layout.gpus} of a copy",
        ),
        (
            option.place.startswith("sagemaker") and not instance.on_sagemaker,
            "SageMaker does not offer it for hosting",
        ),
        (
            bool(instance.zones) and demand.region not in instance.zones,
            f"not offered in {demand.region}",
        ),
        (missing, f"{gpu.name} has no kernels for {precision}"),
    )
    elsewhere = demand.server.refusal(option.place, precision)
    if elsewhere:
        return elsewhere
    return next((why for lacking, why in lacks if lacking), "")


def _served(option: Option, demand: Demand, gpu: Gpu) -> Served:
    precision = option.precision
    if precision.name == "none" and not gpu.has_bf16:
        precision = PRECISIONS["float16"]
    tp, pp = option.layout.tensor_parallel, option.layout.pipeline_parallel
    cache = option.layout.cache_dtype
    return Served(demand.shape, precision, gpu, tp, pp, cache_dtype=cache)


def _most_rpm(served: Served, demand: Demand, calibration: Calibration, batch: int) -> float:
    """Requests a minute that one copy takes at the first-token bound."""
    fit = calibration.local_fit(served)
    bound = demand.ttft_ms_p95 / (fit.factors.get("ttft_ms", 1.0) if fit else 1.0)
    rate = most_requests_per_s(served, calibration.efficiency, demand.load, batch, bound)
    return rate * 60 * (fit.factors.get("tokens_per_s", 1.0) if fit else 1.0)


def _too_slow(served: Served, demand: Demand, calibration: Calibration, batch: int) -> str:
    alone = open_loop(served, calibration.efficiency, demand.load, 1e-6, max(batch, 1))
    return (
        f"the first token takes {alone.ttft_ms_p95:,.0f} ms on an idle engine, "
        f"{demand.ttft_ms_p95:,.0f} ms are asked"
    )


def _candidate(option: Option, copy: Copy, machines: int, scales: Scales) -> Candidate:
    demand, calibration = scales.demand, scales.calibration
    load, served = demand.load, copy.served
    share = demand.requests_per_minute / 60 / (machines * option.copies)
    fit = calibration.local_fit(served)
    faster = fit.factors.get("tokens_per_s", 1.0) if fit else 1.0
    steady = open_loop(served, calibration.efficiency, load, share / faster, copy.batch)

    checked = scales.catalogue.is_checked(served.gpu.dated)

    def bar(metric: str, value: float) -> Interval:
        found = calibration.interval(metric, value, served, load, copy.distance)
        return found if checked else _widened(found)

    return Candidate(
        option=option,
        served=served,
        use=copy.use,
        batch=copy.batch,
        machines=machines,
        capacity_rpm=bar("tokens_per_s", copy.most_rpm / faster * option.copies * machines),
        ttft_ms_p50=bar("ttft_ms", steady.ttft_ms_p50),
        ttft_ms_p95=bar("ttft_ms", steady.ttft_ms_p95),
        tpot_ms=bar("tpot_ms", steady.tpot_ms),
        steady=steady,
        bill=bill(
            machine_item(option.name, option.place, machines, demand, scales.catalogue),
            option.place,
            demand,
            scales.catalogue,
            (steady.ttft_ms_p50 + (load.output - 1) * steady.tpot_ms) / 1e3,
        ),
        notes=_notes(option, demand, served, scales.catalogue),
        extrapolated=copy.extrapolated,
    )


def _widened(interval: Interval) -> Interval:
    """The bar of an estimate for a GPU whose figures nobody checked."""
    low, high = interval.low / (1 + UNCHECKED_SPREAD), interval.high * (1 + UNCHECKED_SPREAD)
    return Interval(low, interval.middle, high)


def _notes(
    option: Option, demand: Demand, served: Served, catalogue: Catalogue
) -> tuple[str, ...]:
    notes = []
    if served.precision.name == "float16" and option.precision.name == "none":
        notes.append(f"{served.gpu.name} has no bfloat16: set model.dtype: float16")
    if not catalogue.price(option.name, demand.region)[1]:
        notes.append(
            f"price unknown in {demand.region}: the one of {HOME_REGION} is shown; "
            f"`penstock catalog refresh --region {demand.region}` asks AWS for it"
        )
    if demand.server.note:
        notes.append(demand.server.note)
    if not option.instance.zones:
        notes.append("its regions and zones are not in the catalogue")
    return tuple(notes)
