"""How fast one known machine is: this one, or the one that was measured.

A machine is told by its facts: `named` (an instance type, a GPU, `H100 x 2`) or else what its
driver and its kernel say (`gpu`, `gpu_memory_mib`, `cpu`, `cpus`, `ram_mib`). A CPU is treated as
a slow GPU with figures that are guessed by its cores; only a measurement makes them worth
anything, so without one there is no estimate.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from penstock.catalog.catalogue import Catalogue
from penstock.catalog.records import Dated, Gpu
from penstock.ground.errors import UserError
from penstock.sizing.calibration import Calibration, Interval, LocalFit
from penstock.sizing.demand import Demand
from penstock.sizing.memory import memory_use
from penstock.sizing.precision import PRECISIONS
from penstock.sizing.serving import most_requests_per_s, open_loop
from penstock.sizing.speed import CURRENT_ENGINE, Served

CPU = "cpu"
_CORE_GB_S, _CORE_TFLOPS, _MOST_GB_S = 8.0, 0.05, 200.0
_MEMORY_SIZES_GB = 400
_CPU_ENGINES = {"embedded": "embedded", "vllm": "vllm-cpu"}
_EMBEDDED_SEQUENCES = 32


@dataclass(frozen=True, slots=True)
class Here:
    """What one copy on a machine would do under the load of a demand.

    `fit` is what was measured there; `unknown` says why the estimate is a guess, empty if not.
    """

    served: Served
    ttft_ms_p50: Interval
    ttft_ms_p95: Interval
    tpot_ms: Interval
    capacity_rpm: Interval
    fit: LocalFit | None
    unknown: str


def machine(facts: Mapping[str, Any], catalogue: Catalogue) -> Gpu | None:
    """The GPU (or CPU) of the machine that `facts` tell of; none when that is not known.

    Raises:
        UserError: it has a name that the catalogue does not know.
    """
    if named := facts.get("named"):
        return _named(str(named), catalogue)
    if facts.get("gpu"):
        return _driven(str(facts["gpu"]), float(facts.get("gpu_memory_mib") or 0), catalogue)
    if facts.get("cpu"):
        return processor(str(facts["cpu"]), int(facts["cpus"]), float(facts["ram_mib"]))
    return None


def processor(name: str, cpus: int, ram_mib: float) -> Gpu:
    """A CPU as if it were a GPU, with figures guessed from its cores."""
    tflops = cpus * _CORE_TFLOPS
    return Gpu(
        name=f"{name}, {cpus} cores",
        architecture=CPU,
        memory_gb=ram_mib * 2**20 / 1e9,
        bandwidth_gb_s=min(cpus * _CORE_GB_S, _MOST_GB_S),
        tflops={"fp16": tflops, "bf16": tflops, "fp8": 0, "int8": 0},
        link="pcie",
        link_gb_s=1,
        on_aws=False,
        dated=Dated("guessed", date.min),
    )


def serve(demand: Demand, gpu: Gpu, engine: str) -> Served:
    """The demand's model on that machine, under the engine that the manifest calls `engine`."""
    precision = PRECISIONS[demand.quantization]
    if precision.name == "none" and not gpu.has_bf16:
        precision = PRECISIONS["float16"]
    kind = _CPU_ENGINES.get(engine, "vllm-cpu") if gpu.architecture == CPU else CURRENT_ENGINE
    return Served(demand.shape, precision, gpu, demand.layout.tensor_parallel, engine=kind)


def estimate(demand: Demand, served: Served, calibration: Calibration) -> Here:
    """How one copy on the machine would do; a guess where nothing was measured."""
    load, efficiency = demand.load, calibration.efficiency
    fit = calibration.local_fit(served)
    faster = fit.factors.get("tokens_per_s", 1.0) if fit else 1.0
    bound = demand.ttft_ms_p95 / (fit.factors.get("ttft_ms", 1.0) if fit else 1.0)
    batch = _batch(demand, served)
    most = most_requests_per_s(served, efficiency, load, batch, bound)
    rate = min(demand.requests_per_minute / 60 / faster, most) or 1e-6
    steady = open_loop(served, efficiency, load, rate, batch)
    distance = calibration.distance(served, load)

    def bar(metric: str, value: float) -> Interval:
        return calibration.interval(metric, value, served, load, distance)

    return Here(
        served=served,
        ttft_ms_p50=bar("ttft_ms", steady.ttft_ms_p50),
        ttft_ms_p95=bar("ttft_ms", steady.ttft_ms_p95),
        tpot_ms=bar("tpot_ms", steady.tpot_ms),
        capacity_rpm=bar("tokens_per_s", most * 60),
        fit=fit,
        unknown=calibration.out_of_reach(served, load),
    )


def _batch(demand: Demand, served: Served) -> int:
    if served.engine == "embedded":
        return min(demand.layout.max_sequences, _EMBEDDED_SEQUENCES)
    memory = served.gpu.memory_gb * 1e9 / 2**20
    use = memory_use(served.shape, served.precision, memory, demand.layout)
    tokens = demand.load.prompt + demand.load.output
    return max(1, min(demand.layout.max_sequences, use.sequences(tokens)))


def _named(name: str, catalogue: Catalogue) -> Gpu:
    bare = name.strip().removeprefix("ml.")
    if bare in catalogue.instances and catalogue.instances[bare].gpu:
        return catalogue.gpus[catalogue.instances[bare].gpu]
    wanted = re.split(r"\s+x\s+", bare)[0].upper()
    if wanted in catalogue.gpus:
        return catalogue.gpus[wanted]
    raise UserError(
        f"'{name}' is no machine that the catalogue knows",
        fix=f"Write an instance type, such as g5.xlarge, or one of {', '.join(catalogue.gpus)}.",
    )


def _driven(name: str, memory_mib: float, catalogue: Catalogue) -> Gpu | None:
    """The catalogue's GPU that a driver calls `name`: all its words, then the nearest memory."""
    told = set(_words(name))
    fitting = [gpu for gpu in catalogue.gpus.values() if _identity(gpu.name) <= told]
    if not fitting:
        return None
    most = max(len(_identity(gpu.name)) for gpu in fitting)
    best = [gpu for gpu in fitting if len(_identity(gpu.name)) == most]
    return min(best, key=lambda gpu: abs(gpu.memory_gb * 1000 - memory_mib))


def _identity(name: str) -> set[str]:
    """The words of a GPU's name without its memory size: V100-16 is known by V100."""
    return {w for w in _words(name) if not (w.isdigit() and int(w) < _MEMORY_SIZES_GB)}


def _words(name: str) -> list[str]:
    return re.findall(r"[A-Z0-9]+", name.upper())
