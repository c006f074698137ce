"""Sets of vLLM settings for three kinds of load; a single field of the manifest overrides them.

The figures are starting points for one GPU of 24 to 80 GB, as serving guides give them; measure
with your own load. `balanced` sets nothing: vLLM's own defaults apply.
"""

from dataclasses import dataclass
from typing import Literal

Name = Literal["balanced", "low-latency", "high-throughput", "long-context"]


@dataclass(frozen=True, slots=True)
class Profile:
    """Settings of the same names as in the manifest; None leaves vLLM's default.

    `context` is in tokens, `gpu_memory_utilization` a share from 0 to 1.
    """

    context: int | None = None
    max_sequences: int | None = None
    max_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    chunked_prefill: bool | None = None


PROFILES: dict[Name, Profile] = {
    "balanced": Profile(),
    "low-latency": Profile(
        context=2048, max_sequences=64, gpu_memory_utilization=0.85, chunked_prefill=True
    ),
    "high-throughput": Profile(
        max_sequences=512,
        max_batched_tokens=32_768,
        gpu_memory_utilization=0.95,
        chunked_prefill=True,
    ),
    "long-context": Profile(
        context=32_768,
        max_sequences=32,
        max_batched_tokens=8192,
        gpu_memory_utilization=0.90,
        chunked_prefill=True,
    ),
}
