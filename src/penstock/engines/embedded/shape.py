"""What `config.json` says about a model, as far as computing it needs to know.

The four families are one network with small differences:

    LlamaForCausalLM    the plain form; biases only when the configuration says so
    MistralForCausalLM  the same, with a sliding window in every layer when one is set
    Qwen2ForCausalLM    biases on q, k and v; a window in the upper layers when switched on
    Qwen3ForCausalLM    RMS norms on each head of q and k

Sources: the configuration classes of transformers 5. What changes the result and is not computed
here (other activations, YaRN, quantised weights) is refused, never ignored.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.engines.embedded.checkpoint import Floats, read_json
from penstock.ground.errors import UserError

Rotations = NDArray[np.complex64]
"""Rotary factors, [positions, head_dim / 2] in all their uses."""

FAMILIES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
"""Values of `architectures` that can be computed."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes and switches of one model; `windows` has one entry a layer, tokens or none."""

    family: str
    vocabulary: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    windows: tuple[int | None, ...]
    norm_epsilon: float
    max_positions: int
    tied: bool
    qkv_bias: bool
    output_bias: bool
    mlp_bias: bool
    head_norms: bool
    rope: dict[str, Any]
    eos: tuple[int, ...]
    bos: int | None

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.windows)

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of float32 keys and values that one token takes in all layers."""
        return 2 * 4 * self.layers * self.kv_heads * self.head_dim


class _Config(msgspec.Struct, frozen=True):
    """The fields of `config.json` that are read; the defaults are those of transformers."""

    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_hidden_layers: int
    vocab_size: int
    architectures: list[str] = []
    attention_bias: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    layer_types: list[str] | None = None
    max_position_embeddings: int = 2048
    max_window_layers: int = 28
    mlp_bias: bool = False
    num_key_value_heads: int | None = None
    partial_rotary_factor: float = 1.0
    quantization_config: dict[str, Any] | None = None
    rms_norm_eps: float = 1e-6
    rope_parameters: dict[str, Any] | None = None
    rope_scaling: dict[str, Any] | None = None
    rope_theta: float = 10_000.0
    sliding_window: int | None = None
    tie_word_embeddings: bool = False
    use_sliding_window: bool = False


def read_shape(folder: Path) -> Shape:
    """Read `config.json`.

    Raises:
        UserError: it is missing, incomplete, or asks for what this engine does not compute.
    """
    file = folder / "config.json"
    raw = read_json(file)
    if raw.get("architectures") == ["MistralForCausalLM"]:
        raw.setdefault("sliding_window", 4096)  # the default of this family alone
    try:
        config = msgspec.convert(raw, _Config)
    except msgspec.ValidationError as error:
        raise UserError(
            "the model's configuration cannot be used", why=str(error), where=str(file)
        ) from error
    family = next((name for name in config.architectures if name in FAMILIES), None)
    if family is None:
        raise _unsupported(file, f"`architectures` is {config.architectures}, not {FAMILIES}")
    if config.hidden_act != "silu":
        raise _unsupported(file, f"`hidden_act` is {config.hidden_act}, not silu")
    if config.quantization_config:
        raise _unsupported(file, "the weights are quantised")
    rope = _rope(config, file)
    qwen2, qwen3 = family == "Qwen2ForCausalLM", family == "Qwen3ForCausalLM"
    head_dim = config.head_dim or (
        128 if qwen3 else config.hidden_size // config.num_attention_heads
    )
    eos = config.eos_token_id
    return Shape(
        family=family,
        vocabulary=config.vocab_size,
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads or config.num_attention_heads,
        head_dim=head_dim,
        windows=_windows(config, family),
        norm_epsilon=config.rms_norm_eps,
        max_positions=config.max_position_embeddings,
        tied=config.tie_word_embeddings,
        qkv_bias=qwen2 or config.attention_bias,
        output_bias=config.attention_bias and not qwen2,
        mlp_bias=config.mlp_bias and family == "LlamaForCausalLM",
        head_norms=qwen3,
        rope=rope,
        eos=tuple(eos) if isinstance(eos, list) else () if eos is None else (eos,),
        bos=config.bos_token_id,
    )


def _windows(config: _Config, family: str) -> tuple[int | None, ...]:
    layers, window = range(config.num_hidden_layers), config.sliding_window
    if family.startswith("Qwen"):
        if not config.use_sliding_window:
            return (None,) * len(layers)
        if config.layer_types is None:
            return tuple(window if n >= config.max_window_layers else None for n in layers)
    elif family == "LlamaForCausalLM":
        return (None,) * len(layers)
    if config.layer_types is not None:
        return tuple(
            window if kind == "sliding_attention" else None for kind in config.layer_types
        )
    return (window,) * len(layers)


def _rope(config: _Config, file: Path) -> dict[str, Any]:
    rope = {"rope_theta": config.rope_theta} | (config.rope_scaling or {})
    rope |= config.rope_parameters or {}
    kind = rope.setdefault("rope_type", rope.get("type", "default"))
    if kind not in _SCALINGS:
        raise _unsupported(file, f"rope scaling {kind} is not one of {list(_SCALINGS)}")
    missing = _SCALINGS[kind].needs - rope.keys()
    if missing:
        raise _unsupported(file, f"rope scaling {kind} lacks {sorted(missing)}")
    if rope.get("partial_rotary_factor", config.partial_rotary_factor) != 1.0:
        raise _unsupported(file, "only a part of each head is rotated")
    return rope


def _unsupported(file: Path, why: str) -> UserError:
    return UserError(
        "the embedded engine cannot compute this model",
        why=why,
        fix="Serve it with vLLM (`engine: {kind: vllm}`).",
        where=str(file),
    )


def rotations(shape: Shape, positions: int) -> Rotations:
    """Return the rotary factors `cos + i sin`, [positions, head_dim / 2]."""
    exponents = np.arange(0, shape.head_dim, 2, dtype=np.float32) / shape.head_dim
    frequencies = (1.0 / np.float32(shape.rope["rope_theta"]) ** exponents).astype(np.float32)
    frequencies = _SCALINGS[shape.rope["rope_type"]].apply(frequencies, shape.rope)
    angles = np.outer(np.arange(positions, dtype=np.float32), frequencies)
    factors: Rotations = np.exp(1j * angles).astype(np.complex64)
    return factors


def _scale_linear(frequencies: Floats, rope: dict[str, Any]) -> Floats:
    return frequencies / np.float32(rope["factor"])


def _scale_llama3(frequencies: Floats, rope: dict[str, Any]) -> Floats:
    """Slow waves are stretched by `factor`, fast ones kept, those between blended (Llama 3.1)."""
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0).astype(np.float32)
    stretched = frequencies / np.float32(rope["factor"])
    blended: Floats = (1 - kept) * stretched + kept * frequencies
    return blended


@dataclass(frozen=True, slots=True)
class _Scaling:
    """One way to stretch the rotary frequencies, and the numbers it needs."""

    apply: Callable[[Floats, dict[str, Any]], Floats]
    needs: frozenset[str] = frozenset()


_SCALINGS = {
    "default": _Scaling(lambda frequencies, _: frequencies),
    "linear": _Scaling(_scale_linear, frozenset({"factor"})),
    "llama3": _Scaling(
        _scale_llama3,
        frozenset(
            {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}
        ),
    ),
}
