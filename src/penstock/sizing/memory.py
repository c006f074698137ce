"""Does it fit: what lies in a GPU's memory, what is left for the cache, how many sequences.

The engine may take `utilization` of the GPU. Of that, weights, the peak of activations, the
runtime's own overhead and LoRA slots come off; the rest is cache. GPUs of one tensor-parallel
group share weights and cache evenly; a pipeline shares out layers.

The overhead figures are for vLLM: about 0.6 GiB of CUDA context and communication buffers and
0.4 GiB of captured graphs; its profiling run holds one step of `step_tokens` tokens.
"""

from dataclasses import dataclass

from penstock.catalog.shape import ModelShape
from penstock.sizing.precision import KV_BYTES, Precision, weights_bytes

GIB = 1024**3
UTILIZATION = 0.9
"""vLLM's `--gpu-memory-utilization` where the manifest sets none."""
STEP_TOKENS = 8192
"""vLLM's `--max-num-batched-tokens` where the manifest sets none."""
MAX_SEQUENCES = 256
"""vLLM's `--max-num-seqs` where the manifest sets none."""
_CONTEXT_GIB, _GRAPHS_GIB, _PEER_GIB = 0.6, 0.4, 0.3


@dataclass(frozen=True, slots=True)
class Layout:
    """How one copy of a model is laid over GPUs, and what the engine is told."""

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    utilization: float = UTILIZATION
    max_sequences: int = MAX_SEQUENCES
    step_tokens: int = STEP_TOKENS
    cache_dtype: str = "auto"
    eager: bool = False
    lora_slots: int = 0
    lora_rank: int = 16

    @property
    def gpus(self) -> int:
        """GPUs that one copy takes."""
        return self.tensor_parallel * self.pipeline_parallel


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """GiB of one GPU: what comes off its budget, and the cache that is left (may be negative)."""

    total_gib: float
    reserved_gib: float
    weights_gib: float
    activations_gib: float
    overhead_gib: float
    adapters_gib: float
    kv_bytes_per_token: float
    window_bytes: float

    @property
    def usable_gib(self) -> float:
        """What the engine may take."""
        return self.total_gib - self.reserved_gib

    @property
    def cache_gib(self) -> float:
        """What is left for the KV cache."""
        used = self.weights_gib + self.activations_gib + self.overhead_gib + self.adapters_gib
        return self.usable_gib - used

    def sequence_gib(self, tokens: float) -> float:
        """Cache that one sequence of `tokens` tokens takes on this GPU."""
        return (tokens * self.kv_bytes_per_token + self.window_bytes) / GIB

    def sequences(self, tokens: float) -> int:
        """How many sequences of `tokens` tokens the cache holds at once."""
        return max(0, int(self.cache_gib / self.sequence_gib(tokens)))

    def missing_gib(self, tokens: float) -> float:
        """GiB a GPU lacks to hold one sequence of `tokens` tokens; 0 when it fits."""
        return max(0.0, self.sequence_gib(tokens) - self.cache_gib)


def memory_use(
    shape: ModelShape, precision: Precision, gpu_memory_mib: float, layout: Layout
) -> MemoryUse:
    """What lies in one GPU of `gpu_memory_mib` MiB when `layout` serves the model."""
    share = layout.tensor_parallel * layout.pipeline_parallel
    total = gpu_memory_mib / 1024
    peers = _PEER_GIB if layout.gpus > 1 else 0.0
    graphs = 0.0 if layout.eager else _GRAPHS_GIB
    per_token, window = _cache_bytes(shape, layout)
    return MemoryUse(
        total_gib=total,
        reserved_gib=total * (1 - layout.utilization),
        weights_gib=weights_bytes(shape, precision) / share / GIB,
        activations_gib=_activation_bytes(shape, layout) / GIB,
        overhead_gib=_CONTEXT_GIB + graphs + peers,
        adapters_gib=_adapter_bytes(shape, layout) / GIB,
        kv_bytes_per_token=per_token,
        window_bytes=window,
    )


def _activation_bytes(shape: ModelShape, layout: Layout) -> float:
    """The peak of one step: residual, block input and output, the widest block, and logits."""
    width = shape.experts.intermediate * shape.experts.per_token if shape.experts else 0
    widest = max(width, shape.intermediate) / layout.tensor_parallel
    blocks = layout.step_tokens * (4 * shape.hidden + 2 * widest) * 2
    logits = layout.max_sequences * shape.vocab * (2 + 4)
    return blocks + logits


def _adapter_bytes(shape: ModelShape, layout: Layout) -> float:
    """Slots for LoRA on all linear layers: two thin matrices a layer matrix, 16 bits."""
    attention = 4 * shape.hidden + 2 * (shape.heads + shape.kv_heads) * shape.head_dim
    feed_forward = 3 * (shape.hidden + shape.intermediate)
    per_rank = shape.layers * (attention + feed_forward)
    return layout.lora_slots * layout.lora_rank * per_rank * 2 / layout.tensor_parallel


def _cache_bytes(shape: ModelShape, layout: Layout) -> tuple[float, float]:
    """Cache bytes a token, and bytes that sliding windows take once a sequence."""
    size = KV_BYTES[layout.cache_dtype] / layout.pipeline_parallel
    far = 2 * max(shape.context, 2 * shape.sliding_window)
    slope = shape.kv_elements(far + 1, layout.tensor_parallel) - shape.kv_elements(
        far, layout.tensor_parallel
    )
    window = shape.kv_elements(far, layout.tensor_parallel) - slope * far
    return slope * size, window * size
