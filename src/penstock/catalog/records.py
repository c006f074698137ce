"""The rows of the catalogue: what a GPU, an instance, a price is. Each has a source and a date.

Memory of GPUs is in MiB as EC2 reports it, bandwidth in GB/s (decimal), arithmetic in dense
TFLOP/s (no sparsity), prices in USD.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

STALE_AFTER_DAYS = 90
"""Prices older than this are flagged in every output."""


@dataclass(frozen=True, slots=True)
class Source:
    """A publication; `checked` is the day its figures were compared with ours, None if never."""

    title: str
    url: str
    checked: date | None


@dataclass(frozen=True, slots=True)
class Dated:
    """Where a figure comes from (a key of `sources.json`) and of which day it is."""

    source: str
    as_of: date

    def is_stale(self, today: date) -> bool:
        """Whether the figure is older than `STALE_AFTER_DAYS`."""
        return (today - self.as_of).days > STALE_AFTER_DAYS


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `tflops` maps fp16, bf16, fp8 and int8 to dense TFLOP/s, 0 where it has none.

    `architecture` groups GPUs whose kernels behave alike; `link` is how GPUs of one machine talk
    (`nvlink` or `pcie`), `link_gb_s` one direction of it. `on_aws` is False for GPUs that are
    here only because speed was measured on them. `seen_gib` is the memory that CUDA finds, as
    vLLM's start-up logs in public repositories tell it (read 2026-11-21); 0 where none was found.
    """

    name: str
    architecture: str
    memory_gb: float
    bandwidth_gb_s: float
    tflops: Mapping[str, float]
    link: str
    link_gb_s: float
    on_aws: bool
    dated: Dated
    seen_gib: float = 0.0

    @property
    def has_bf16(self) -> bool:
        """Whether bfloat16 is computed natively."""
        return self.tflops["bf16"] > 0

    @property
    def has_fp8(self) -> bool:
        """Whether FP8 is computed natively; elsewhere FP8 weights are widened before use."""
        return self.tflops["fp8"] > 0


@dataclass(frozen=True, slots=True)
class Instance:
    """An EC2 instance type. `zones` maps region to zone letters that offer it.

    `gpu_memory_mib` is what EC2 says of one GPU, `gpu_seen_mib` what CUDA finds of it.
    `unsupported` says why Penstock does not serve on it; empty where it does.
    """

    name: str
    gpu: str
    gpus: int
    gpu_memory_mib: int
    gpu_seen_mib: float
    vcpus: int
    ram_gib: float
    on_sagemaker: bool
    zones: Mapping[str, tuple[str, ...]]
    dated: Dated
    unsupported: str = ""

    @property
    def family(self) -> str:
        """The part of the name before the dot: `g5`."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Price:
    """USD an hour on demand, in one region; `ml.` names are SageMaker hosting."""

    instance: str
    region: str
    usd_per_hour: float
    dated: Dated


@dataclass(frozen=True, slots=True)
class SpotSaving:
    """How much less spot cost than on demand (share, 0 to 1), and how often it was taken away.

    `interruption` is a range of per cent a month, `?` where nobody says.
    """

    instance: str
    region: str
    saving: float
    interruption: str
    dated: Dated


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a machine costs less (share, 0 to 1) that is reserved for a year, nothing upfront."""

    instance: str
    region: str
    saving: float
    dated: Dated


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the stack around the GPU: its price in USD per `unit`."""

    name: str
    unit: str
    usd: float
    region: str
    dated: Dated


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of AWS that a plan is held against."""

    name: str
    value: float
    unit: str
    note: str
    dated: Dated
