"""What quantisation does to bytes and to arithmetic.

Four-bit formats keep a scale for each group of 128 weights (AWQ, GPTQ: 16 bits and a 4-bit zero
point; NF4: 8 bits, doubly quantised, in groups of 64). Token tables stay at 16 bits in all of
them. Sources: the AWQ, GPTQ and QLoRA papers, and the checkpoints on the Hub.
"""

from dataclasses import dataclass

from penstock.catalog.records import Gpu
from penstock.catalog.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Precision:
    """Weights at `weight_bits` each (group scales included), computed as `compute`.

    `compute` is a key of `Gpu.tflops`; `weight_only` means that weights are widened before use.
    """

    name: str
    weight_bits: float
    compute: str
    weight_only: bool = False


PRECISIONS = {
    "none": Precision("none", 16, "bf16"),
    "float16": Precision("float16", 16, "fp16"),
    "float32": Precision("float32", 32, "fp16"),
    "fp8": Precision("fp8", 8, "fp8"),
    "int8": Precision("int8", 8, "int8"),
    "awq": Precision("awq", 4 + 20 / 128, "fp16", weight_only=True),
    "gptq": Precision("gptq", 4 + 20 / 128, "fp16", weight_only=True),
    "nf4": Precision("nf4", 4 + 8 / 64 + 32 / 16384, "bf16", weight_only=True),
}
"""By the manifest's `model.quantization`, and `float16`, `float32` for its `model.dtype`."""
TABLE_BYTES = 2
"""Bytes of one weight of a token table."""
KV_BYTES = {"auto": 2, "fp8": 1}
"""Bytes of one element of the cache, by cache type."""


def weight_bits(shape: ModelShape, precision: Precision) -> float:
    """Bits of one layer weight: the checkpoint's own when it is published quantised."""
    if precision.name in ("none", "float16") and shape.native_bits < precision.weight_bits:
        return shape.native_bits
    return precision.weight_bits


def weights_bytes(shape: ModelShape, precision: Precision) -> float:
    """Bytes that all weights of the model take."""
    bits = weight_bits(shape, precision)
    linear = shape.linear_parameters * bits / 8
    if bits == shape.native_bits < 8:  # such checkpoints keep attention at 16 bits
        linear += shape.layers * shape.attention_parameters * (16 - bits) / 8
    rest = shape.parameters - shape.linear_parameters
    return linear + rest * max(TABLE_BYTES, precision.weight_bits / 8 if _wide(precision) else 0)


def compute_tflops(gpu: Gpu, precision: Precision) -> float:
    """Dense TFLOP/s of `gpu` for that precision; what it cannot do natively runs as 16 bits."""
    return gpu.tflops[precision.compute] or gpu.tflops["bf16"] or gpu.tflops["fp16"]


def _wide(precision: Precision) -> bool:
    return precision.weight_bits > 16
