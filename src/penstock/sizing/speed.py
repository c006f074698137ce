"""How long a step takes: a roofline, bent by measured efficiencies.

The problem: between the data sheet and the token lie kernels that reach a part of the bandwidth
and of the arithmetic, an engine that thinks between steps, and GPUs that wait for each other.
The idea: count bytes and operations exactly from the shape of the model, and put everything else
into a handful of factors that are fitted to published measurements (`fitting.py`):

    a step   = hypot(bytes / (bandwidth x share), operations / (peak x share))
               + engine time a step + engine time a sequence + layers x 2 exchanges
    decode   : one token for each running sequence, weights and cache are read once
    prefill  : all tokens of a prompt, with attention over themselves

Given up: kernels are not modelled one by one, the shares do not depend on batch size, and
prefix-cache hits and speculative decoding are left out (both only make it faster).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import hypot

from penstock.catalog.records import Gpu
from penstock.catalog.shape import ModelShape
from penstock.sizing.precision import (
    KV_BYTES,
    TABLE_BYTES,
    Precision,
    compute_tflops,
    weight_bits,
)

CURRENT_ENGINE = "vllm-v1"
"""The engine generation that is planned for: vLLM 0.8 and later."""
LARGE_GPU_GB = 80
"""From this memory on, A100 aside, vLLM serves with larger steps and batches (its
`EngineArgs.get_batch_defaults`)."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """The fitted factors. Shares are 0 to 1, times in milliseconds.

    `bandwidth` and `compute` are by GPU architecture; `exchange_ms` (one all-reduce) and `link`
    (share of the link) by kind of link. By engine generation: `step_ms` and `layer_ms` are what a
    step costs beside bytes and operations, `sequence_ms` what each of its sequences adds,
    `first_ms` and `first_layer_ms` what a request costs before it is computed, `weight_only` the
    share of arithmetic that remains when weights are widened first. `experts_ms` is what a layer
    with experts adds to a step, `experts_bandwidth` and `experts_compute` what mixtures of experts
    reach of the shares of a dense model; `narrow` the share of the peak of 8-bit arithmetic,
    against that of 16 bits.
    """

    bandwidth: Mapping[str, float]
    compute: Mapping[str, float]
    step_ms: Mapping[str, float]
    sequence_ms: Mapping[str, float]
    exchange_ms: Mapping[str, float]
    link: Mapping[str, float]
    first_ms: Mapping[str, float]
    layer_ms: Mapping[str, float]
    first_layer_ms: Mapping[str, float]
    weight_only: Mapping[str, float]
    http_ms: Mapping[str, float]
    admit_ms: Mapping[str, float]
    stream_ms: Mapping[str, float]
    experts_ms: float
    experts_bandwidth: float
    experts_compute: float
    narrow: float


@dataclass(frozen=True, slots=True)
class Served:
    """A model in one precision on `tensor_parallel` GPUs of one kind, `pipeline_parallel` deep.

    `direct` means that requests reach the engine inside its process, without HTTP.
    """

    shape: ModelShape
    precision: Precision
    gpu: Gpu
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    engine: str = CURRENT_ENGINE
    cache_dtype: str = "auto"
    direct: bool = False


def chunk_tokens(gpu: Gpu) -> int:
    """Prompt tokens that one step computes at most."""
    return 8192 if _is_large(gpu) else 2048


def usual_sequences(gpu: Gpu) -> int:
    """Sequences that vLLM runs together where it is not told how many."""
    return 1024 if _is_large(gpu) else 256


def _is_large(gpu: Gpu) -> bool:
    return gpu.memory_gb >= LARGE_GPU_GB and gpu.architecture != "ampere-hbm"


def decode_step_ms(served: Served, efficiency: Efficiency, batch: float, context: float) -> float:
    """Milliseconds of one step that gives each of `batch` sequences of `context` a token."""
    return decode_steps(served, efficiency, context)(batch)


def decode_steps(
    served: Served, efficiency: Efficiency, context: float
) -> Callable[[float], float]:
    """Milliseconds of a step by its batch, with all that does not depend on it computed once.

    A pipeline works on as many parts of the batch as it is deep; a token passes all stages.
    """
    shape, tp, pp = served.shape, served.tensor_parallel, served.pipeline_parallel
    bits = weight_bits(shape, served.precision) / 8
    head = shape.embedding_parameters * TABLE_BYTES
    cache = shape.kv_elements(context, tp) * KV_BYTES[served.cache_dtype]
    attention = 4 * context * shape.heads * shape.head_dim * shape.layers
    per_token = 2 * (shape.active_parameters + shape.embedding_parameters) + attention
    byte_ms = memory_ms(served, efficiency, 1)
    token_ms = compute_ms(served, efficiency, per_token / tp)
    alone, each = exchange_ms(served, efficiency, 0), exchange_ms(served, efficiency, 1)
    fixed = pp * step_ms(served, efficiency) + alone
    sequence_ms = efficiency.sequence_ms[served.engine]
    dense = None if shape.experts else shape.touched_parameters(1)

    def step(batch: float) -> float:
        together = max(batch / pp, 1)
        touched = shape.touched_parameters(together) if dense is None else dense
        moved = (touched * bits + head) / tp + together * cache
        body = hypot(moved * byte_ms, together * token_ms)
        return body + fixed + batch * sequence_ms + together * (each - alone)

    return step


def prefill_ms(served: Served, efficiency: Efficiency, tokens: float) -> float:
    """Milliseconds until a prompt of `tokens` tokens is computed, on an idle engine."""
    chunks = max(1.0, tokens / chunk_tokens(served.gpu))
    body = hypot(
        memory_ms(served, efficiency, chunks * _prompt_bytes(served, tokens / chunks)),
        compute_ms(served, efficiency, prompt_operations(served, tokens)),
    )
    engine = chunks * (step_ms(served, efficiency) + efficiency.sequence_ms[served.engine])
    return body + engine + chunks * exchange_ms(served, efficiency, tokens / chunks)


def packed_prefill_ms(served: Served, efficiency: Efficiency, tokens: float) -> float:
    """What one prompt adds when steps are filled with many prompts: no idle reading of weights."""
    body = compute_ms(served, efficiency, prompt_operations(served, tokens))
    chunk = chunk_tokens(served.gpu)
    per_step = step_ms(served, efficiency) + exchange_ms(served, efficiency, chunk)
    engine = tokens / chunk * per_step + efficiency.sequence_ms[served.engine]
    return (body + engine) / served.pipeline_parallel


def step_ms(served: Served, efficiency: Efficiency) -> float:
    """Milliseconds that a step costs beside bytes and operations: scheduling, kernel starts."""
    layers, engine = served.shape.layers, served.engine
    experts = efficiency.experts_ms if served.shape.experts else 0.0
    return efficiency.step_ms[engine] + layers * (efficiency.layer_ms[engine] + experts)


def arrival_ms(served: Served, efficiency: Efficiency) -> float:
    """Milliseconds that a lone request takes beside its computation, there and back."""
    layers, engine = served.shape.layers, served.engine
    inside = efficiency.first_ms[engine] + layers * efficiency.first_layer_ms[engine]
    if served.direct:
        return inside
    return inside + efficiency.http_ms[engine] + efficiency.admit_ms[engine]


def admit_ms(served: Served, efficiency: Efficiency) -> float:
    """Milliseconds of the HTTP server for each request, one after the other."""
    return 0.0 if served.direct else efficiency.admit_ms[served.engine]


def stream_ms(served: Served, efficiency: Efficiency) -> float:
    """Milliseconds of the HTTP server for each token that it passes on, one after the other."""
    return 0.0 if served.direct else efficiency.stream_ms[served.engine]


def prompt_operations(served: Served, tokens: float) -> float:
    """Floating-point operations of one GPU for a prompt; attention looks back, so half of n^2."""
    shape = served.shape
    linear = 2 * shape.active_parameters * tokens
    far = shape.layers // shape.global_every if shape.sliding_window else shape.layers
    near = (shape.layers - far) * min(tokens, shape.sliding_window or tokens)
    attention = 2 * tokens * shape.heads * shape.head_dim * (far * tokens + 2 * near)
    head = 2 * shape.embedding_parameters
    return (linear + attention + head) / served.tensor_parallel


def memory_ms(served: Served, efficiency: Efficiency, moved_bytes: float) -> float:
    """Milliseconds to read `moved_bytes` on each GPU."""
    share = efficiency.bandwidth[served.gpu.architecture]
    if served.shape.experts:
        share *= efficiency.experts_bandwidth
    return moved_bytes / (served.gpu.bandwidth_gb_s * 1e9 * share) * 1e3


def compute_ms(served: Served, efficiency: Efficiency, operations: float) -> float:
    """Milliseconds for `operations` on each GPU."""
    share = efficiency.compute[served.gpu.architecture]
    if served.shape.experts:
        share *= efficiency.experts_compute
    if served.precision.weight_only:
        share *= efficiency.weight_only[served.engine]
    elif served.precision.weight_bits < 16 and served.gpu.tflops[served.precision.compute]:
        share *= efficiency.narrow
    peak = compute_tflops(served.gpu, served.precision) * 1e12
    return operations / (peak * share) * 1e3


def exchange_ms(served: Served, efficiency: Efficiency, tokens: float) -> float:
    """Milliseconds that GPUs spend adding up each other's results for `tokens` tokens."""
    shape, tp, pp = served.shape, served.tensor_parallel, served.pipeline_parallel
    link, kind = served.gpu.link_gb_s * 1e9, served.gpu.link
    size = tokens * shape.hidden * 2
    hops = (pp - 1) * (efficiency.exchange_ms[kind] + size / link * 1e3) if pp > 1 else 0.0
    if tp == 1:
        return hops
    carried = 2 * (tp - 1) / tp * size / (link * efficiency.link[kind]) * 1e3
    return hops + 2 * shape.layers * (efficiency.exchange_ms[kind] + carried)


def _prompt_bytes(served: Served, tokens: float) -> float:
    bits = weight_bits(served.shape, served.precision)
    return served.shape.touched_parameters(tokens) * bits / 8 / served.tensor_parallel
