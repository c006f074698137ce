"""LoRA adapters in PEFT's folder layout, applied to the rows of a mixed batch that ask for them.

An adapted layer computes `W x + s B A x` with A of shape [r, in], B of [out, r] and
`s = alpha / r` (`alpha / sqrt(r)` with rank-stabilised LoRA). The model keeps q, k and v in one
matrix, and gate and up in another; here their A are stacked and their B set on a diagonal, so
that an adapter costs one pair of small products for each fused matrix.

Formats: https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from penstock.engines.embedded.checkpoint import Checkpoint, Floats, read_json
from penstock.engines.embedded.shape import Shape
from penstock.ground.errors import UserError

FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
"""The model's matrices and the layers of the checkpoint that each is made of."""

_TENSOR = re.compile(r"^base_model\.model\.model\.layers\.(\d+)\.(.+)\.lora_([AB])\.weight$")


@dataclass(frozen=True, slots=True)
class Pair:
    """One fused matrix's adapter: `down` [r, in], `up` [out, r], scaled."""

    down: Floats
    up: Floats

    def __call__(self, inputs: Floats) -> Floats:
        """Return what the adapter adds for `inputs` [tokens, in]: [tokens, out]."""
        narrow: Floats = inputs @ self.down.T
        added: Floats = narrow @ self.up.T
        return added


@dataclass(frozen=True, eq=False)
class Adapter:
    """A loaded adapter; `layers` holds, layer by layer, a pair for each matrix it touches."""

    name: str
    path: str
    layers: list[dict[str, Pair]]


class _Config(msgspec.Struct, frozen=True):
    """The fields of `adapter_config.json` that are read."""

    r: int
    lora_alpha: float
    peft_type: str = "LORA"
    use_rslora: bool = False
    use_dora: bool = False
    bias: str = "none"
    fan_in_fan_out: bool = False
    modules_to_save: list[str] | None = None
    rank_pattern: dict[str, Any] | None = None
    alpha_pattern: dict[str, Any] | None = None


def read_adapter(name: str, folder: Path, shape: Shape) -> Adapter:
    """Load an adapter made for a model of this shape.

    Raises:
        UserError: a file is missing or damaged, or it asks for what is not computed here.
    """
    file = folder / "adapter_config.json"
    try:
        config = msgspec.convert(read_json(file), _Config)
    except msgspec.ValidationError as error:
        raise _refused(name, str(error), file) from error
    _check(name, config, file)
    checkpoint = Checkpoint.open(folder, "adapter_model")
    found: dict[tuple[int, str], set[str]] = {}
    for tensor in checkpoint:
        match = _TENSOR.match(tensor)
        parts = match.groups() if match else ("0", "", "")
        if not any(parts[1] in members for members in FUSED.values()):
            raise _refused(name, f"it adapts {tensor}, which is not a projection", file)
        if int(parts[0]) >= shape.layers:
            raise _refused(name, f"it adapts layer {parts[0]} of {shape.layers}", file)
        found.setdefault((int(parts[0]), parts[1]), set()).add(parts[2])
    scale = config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r)
    reader = _Reader(checkpoint, shape, config.r, scale)
    layers = [
        reader.layer(n, {m for layer, m in found if layer == n}) for n in range(shape.layers)
    ]
    return Adapter(name=name, path=str(folder), layers=layers)


def _check(name: str, config: _Config, file: Path) -> None:
    refusals = {
        f"its type is {config.peft_type}, not LORA": config.peft_type != "LORA",
        "it uses DoRA": config.use_dora,
        f"it trains biases ({config.bias})": config.bias != "none",
        "its weights are transposed (fan_in_fan_out)": config.fan_in_fan_out,
        f"it replaces whole modules {config.modules_to_save}": bool(config.modules_to_save),
        "it has ranks of their own for some modules": bool(
            config.rank_pattern or config.alpha_pattern
        ),
    }
    for why, applies in refusals.items():
        if applies:
            raise _refused(name, why, file)


def _refused(name: str, why: str, file: Path) -> UserError:
    return UserError(
        f"adapter {name} cannot be loaded",
        why=why,
        fix="Train it as plain LoRA on the attention and MLP projections.",
        where=str(file),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one adapter's tensors into the model's fused layout."""

    checkpoint: Checkpoint
    shape: Shape
    rank: int
    scale: float

    def layer(self, index: int, members: set[str]) -> dict[str, Pair]:
        """Return the pairs of one layer."""
        sizes = projection_sizes(self.shape)
        pairs = {}
        for fused, parts in FUSED.items():
            present = [part for part in parts if part in members]
            if not present:
                continue
            down = [self._read(index, part, "A", (self.rank, sizes[part][1])) for part in present]
            up = np.zeros(
                (sum(sizes[part][0] for part in parts), self.rank * len(present)), np.float32
            )
            top = 0
            for part in parts:
                bottom = top + sizes[part][0]
                if part in present:
                    column = self.rank * present.index(part)
                    block = self._read(index, part, "B", (sizes[part][0], self.rank)) * self.scale
                    if part.endswith(("q_proj", "k_proj")):
                        block = interleave(block, self.shape.head_dim)
                    up[top:bottom, column : column + self.rank] = block
                top = bottom
            pairs[fused] = Pair(np.concatenate(down), up)
        return pairs

    def _read(self, index: int, part: str, side: str, size: tuple[int, int]) -> Floats:
        name = f"base_model.model.model.layers.{index}.{part}.lora_{side}.weight"
        return self.checkpoint.read(name, size)


def projection_sizes(shape: Shape) -> dict[str, tuple[int, int]]:
    """Return [out, in] of every projection of a layer."""
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    return {
        "self_attn.q_proj": (queries, shape.hidden),
        "self_attn.k_proj": (keys, shape.hidden),
        "self_attn.v_proj": (keys, shape.hidden),
        "self_attn.o_proj": (shape.hidden, queries),
        "mlp.gate_proj": (shape.intermediate, shape.hidden),
        "mlp.up_proj": (shape.intermediate, shape.hidden),
        "mlp.down_proj": (shape.hidden, shape.intermediate),
    }


def interleave(rows: Floats, head_dim: int) -> Floats:
    """Reorder the outputs of a q or k projection so that rotated pairs are neighbours.

    Checkpoints rotate dimension i with i + head_dim / 2. With the two side by side a head is a
    row of complex numbers, and the rotation one multiplication. q and k are reordered alike, so
    their products do not change.
    """
    paired = rows.reshape(-1, 2, head_dim // 2, *rows.shape[1:])
    return np.ascontiguousarray(paired.swapaxes(1, 2)).reshape(rows.shape)
