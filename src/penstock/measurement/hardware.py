"""What the measured machine is, as far as it says so itself."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_DRIVER_S = 5


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine: `gpu` as its driver calls it, empty without one; memory in MiB.

    `cpus` are the cores that this process may use.
    """

    cpu: str
    cpus: int
    ram_mib: int
    gpu: str
    gpus: int
    gpu_memory_mib: int

    def as_data(self) -> Mapping[str, object]:
        """Plain data for a file."""
        return asdict(self)


def this_machine() -> Hardware:
    """The machine that this process runs on."""
    gpu, gpus, memory = _gpus()
    return Hardware(
        cpu=_cpu_model(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        ram_mib=_ram_mib(),
        gpu=gpu,
        gpus=gpus,
        gpu_memory_mib=memory,
    )


def _cores() -> int:
    return os.cpu_count() or 1


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _ram_mib() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, OSError, ValueError):
        return 0


def _gpus() -> tuple[str, int, int]:
    """Name, count and memory of NVIDIA's GPUs; an empty name where there are none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "", 0, 0
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            query, capture_output=True, text=True, timeout=_DRIVER_S, check=False
        )
    except subprocess.TimeoutExpired:  # a driver that hangs serves no model either
        return "", 0, 0
    rows = [line.split(", ") for line in done.stdout.splitlines() if ", " in line]
    if done.returncode or not rows:
        return "", 0, 0
    return rows[0][0], len(rows), int(float(rows[0][1]))
