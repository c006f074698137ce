"""The network: embeds tokens, runs the layers, returns logits. All of it float32 NumPy.

What makes it quick on small models, where Python's cost per operation counts as much as the
arithmetic: q, k and v are one product, gate and up another; q and k are rotated together by one
complex multiplication (see `lora.interleave`); the decoding rows attend in one batched product
over views of the cache.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from penstock.engines.embedded.batch import Batch, Chunk, Rows
from penstock.engines.embedded.cache import Cache
from penstock.engines.embedded.checkpoint import Checkpoint, Floats
from penstock.engines.embedded.lora import FUSED, interleave, projection_sizes
from penstock.engines.embedded.shape import Rotations, Shape, read_shape, rotations

VECTOR_ROWS = 4
"""Up to so many rows are multiplied one by one: BLAS reorders the whole weight matrix before a
product of matrices, which costs more than reading it a few times (20 to 40 % of a step)."""


@dataclass(frozen=True, slots=True)
class Linear:
    """`weight` [out, in] and, where the family has one, `bias` [out]."""

    weight: Floats
    bias: Floats | None = None

    def __call__(self, inputs: Floats) -> Floats:
        """Return [tokens, out] for `inputs` [tokens, in]."""
        outputs: Floats
        if 1 < len(inputs) <= VECTOR_ROWS:
            outputs = np.matmul(inputs[:, None], self.weight.T)[:, 0]
        else:
            outputs = inputs @ self.weight.T
        if self.bias is not None:
            outputs += self.bias
        return outputs


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer; `linears` is keyed like `lora.FUSED`."""

    linears: dict[str, Linear]
    attention_norm: Floats
    mlp_norm: Floats
    head_norm: Floats | None
    window: int | None


class Transformer:
    """A loaded model."""

    def __init__(self, folder: Path, *, positions: int | None = None) -> None:
        """Load the model in `folder` for contexts of up to `positions` tokens.

        Raises:
            UserError: the folder does not hold a model that can be computed.
        """
        self.shape = read_shape(folder)
        checkpoint = Checkpoint.open(folder)
        loader = _Loader(checkpoint, self.shape)
        size = (self.shape.vocabulary, self.shape.hidden)
        self.embedding = checkpoint.read("model.embed_tokens.weight", size)
        self.layers = [loader.layer(n) for n in range(self.shape.layers)]
        self.norm = checkpoint.read("model.norm.weight", (self.shape.hidden,))
        self.head = self.embedding if self.shape.tied else checkpoint.read("lm_head.weight", size)
        self.windows = set(self.shape.windows)
        self.rotations = rotations(self.shape, positions or self.shape.max_positions)[:, None]

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(
            self.embedding.size
            + sum(linear.weight.size for layer in self.layers for linear in layer.linears.values())
            + (0 if self.shape.tied else self.head.size)
        )

    def forward(self, batch: Batch, cache: Cache) -> Floats:
        """Compute one step, writing its keys and values; return logits [len(last), vocabulary]."""
        epsilon = self.shape.norm_epsilon
        rotation = self.rotations[batch.positions]
        hidden = self.embedding[batch.tokens]
        with np.errstate(over="ignore"):  # exp of a very negative gate is infinite: silu is 0
            for index, layer in enumerate(self.layers):
                normed = _normalise(hidden, layer.attention_norm, epsilon)
                qkv = self._apply("qkv", index, normed, batch)
                mixed = self._attend(index, qkv, rotation, batch, cache)
                hidden += self._apply("o", index, mixed, batch)
                normed = _normalise(hidden, layer.mlp_norm, epsilon)
                gate_up = self._apply("gate_up", index, normed, batch)
                hidden += self._apply("down", index, _gate(gate_up), batch)
        return _normalise(hidden[batch.last], self.norm, epsilon) @ self.head.T

    def _apply(self, name: str, index: int, inputs: Floats, batch: Batch) -> Floats:
        outputs = self.layers[index].linears[name](inputs)
        for adapter, tokens in batch.adapters:
            pair = adapter.layers[index].get(name)
            if pair is not None:
                outputs[tokens] += pair(inputs[tokens])
        return outputs

    def _attend(
        self, index: int, qkv: Floats, rotation: Rotations, batch: Batch, cache: Cache
    ) -> Floats:
        shape, layer = self.shape, self.layers[index]
        heads = qkv.reshape(len(qkv), -1, shape.head_dim)
        rotated = heads[:, : shape.heads + shape.kv_heads]
        if layer.head_norm is not None:
            rotated[:] = _normalise(rotated, layer.head_norm, shape.norm_epsilon)
        turned = rotated.view(np.complex64)
        turned *= rotation
        queries = heads[:, : shape.heads].reshape(len(qkv), shape.kv_heads, -1, shape.head_dim)
        queries = queries * np.float32(shape.head_dim**-0.5)
        new_keys = rotated[:, shape.heads :]
        new_values = heads[:, shape.heads + shape.kv_heads :]
        keys, values = cache.keys[index], cache.values[index]
        mixed = np.empty_like(queries)
        if batch.decoding:
            n = batch.decoding
            keys[np.arange(n), :, batch.positions[:n]] = new_keys[:n]
            values[np.arange(n), :, batch.positions[:n]] = new_values[:n]
        for rows in batch.rows:
            mixed[rows.start : rows.stop] = _attend_rows(
                queries[rows.start : rows.stop], keys, values, rows, rows.masks[layer.window]
            )
        for chunk in batch.chunks:
            span = slice(chunk.start, chunk.stop)
            begin = chunk.length - (chunk.stop - chunk.start)
            keys[chunk.row, :, begin : chunk.length] = new_keys[span].swapaxes(0, 1)
            values[chunk.row, :, begin : chunk.length] = new_values[span].swapaxes(0, 1)
            mixed[span] = _attend_chunk(
                queries[span], keys, values, chunk, chunk.masks[layer.window]
            )
        return mixed.reshape(len(qkv), -1)


def _attend_rows(
    queries: Floats, keys: Floats, values: Floats, rows: Rows, mask: Floats | None
) -> Floats:
    """Return [rows, kv_heads, group, head_dim] for queries of that shape."""
    span = slice(rows.start, rows.stop)
    scores: Floats = queries @ keys[span, :, : rows.longest].swapaxes(2, 3)
    if mask is not None:
        scores += mask
    return _mix(scores, values[span, :, : rows.longest])


def _attend_chunk(
    queries: Floats, keys: Floats, values: Floats, chunk: Chunk, mask: Floats
) -> Floats:
    """Return [tokens, kv_heads, group, head_dim] for queries of that shape."""
    tokens, kv_heads, group, head_dim = queries.shape
    stacked = queries.transpose(1, 2, 0, 3).reshape(kv_heads, group * tokens, head_dim)
    scores: Floats = stacked @ keys[chunk.row, :, : chunk.length].swapaxes(1, 2)
    scores.reshape(kv_heads, group, tokens, chunk.length)[:] += mask
    mixed = _mix(scores, values[chunk.row, :, : chunk.length])
    return mixed.reshape(kv_heads, group, tokens, head_dim).transpose(2, 0, 1, 3)


def _mix(scores: Floats, values: Floats) -> Floats:
    """Softmax over the last axis of `scores`, which is overwritten, times `values`."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    mixed: Floats = scores @ values
    mixed /= scores.sum(axis=-1, keepdims=True)
    return mixed


def _normalise(inputs: Floats, gain: Floats, epsilon: float) -> Floats:
    """RMS norm over the last axis."""
    mean = np.vecdot(inputs, inputs) / np.float32(inputs.shape[-1])
    scale = np.sqrt(mean + np.float32(epsilon))
    normed: Floats = inputs / scale[..., None]
    normed *= gain
    return normed


def _gate(gate_up: Floats) -> Floats:
    """Return silu(gate) * up."""
    middle = gate_up.shape[1] // 2
    gate, up = gate_up[:, :middle], gate_up[:, middle:]
    gated: Floats = np.exp(-gate)
    gated += 1
    np.divide(gate, gated, out=gated)
    gated *= up
    return gated


@dataclass(frozen=True, slots=True)
class _Loader:
    """Reads the layers of a checkpoint into the fused layout."""

    checkpoint: Checkpoint
    shape: Shape

    def layer(self, index: int) -> Layer:
        """Read one layer."""
        prefix = f"model.layers.{index}"
        return Layer(
            linears={fused: self._linear(prefix, parts) for fused, parts in FUSED.items()},
            attention_norm=self._gain(f"{prefix}.input_layernorm"),
            mlp_norm=self._gain(f"{prefix}.post_attention_layernorm"),
            head_norm=self._head_norm(prefix) if self.shape.head_norms else None,
            window=self.shape.windows[index],
        )

    def _linear(self, prefix: str, parts: tuple[str, ...]) -> Linear:
        weights, biases = [], []
        for part in parts:
            outputs, inputs = projection_sizes(self.shape)[part]
            weights.append(self._ordered(f"{prefix}.{part}.weight", (outputs, inputs)))
            if self._has_bias(part):
                biases.append(self._ordered(f"{prefix}.{part}.bias", (outputs,)))
        return Linear(np.concatenate(weights), np.concatenate(biases) if biases else None)

    def _ordered(self, name: str, size: tuple[int, ...]) -> Floats:
        tensor = self.checkpoint.read(name, size)
        turned = "q_proj" in name or "k_proj" in name
        return interleave(tensor, self.shape.head_dim) if turned else tensor

    def _has_bias(self, part: str) -> bool:
        if part.startswith("mlp"):
            return self.shape.mlp_bias
        return self.shape.output_bias if part.endswith("o_proj") else self.shape.qkv_bias

    def _gain(self, name: str) -> Floats:
        return self.checkpoint.read(f"{name}.weight", (self.shape.hidden,))

    def _head_norm(self, prefix: str) -> Floats:
        """Return the gains of q's and k's norms by head, [heads + kv_heads, head_dim]."""
        head_dim = self.shape.head_dim
        gains = [
            interleave(
                self.checkpoint.read(f"{prefix}.self_attn.{name}.weight", (head_dim,)), head_dim
            )
            for name in ("q_norm", "k_norm")
        ]
        return np.repeat(np.stack(gains), (self.shape.heads, self.shape.kv_heads), axis=0)
