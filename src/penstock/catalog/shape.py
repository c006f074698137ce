"""The shape of a model: what its memory and its arithmetic are computed from.

Read from the catalogue or from any `config.json` in the Hugging Face form. Parameters are counted
from the shape; a test holds them within 1 % of published counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.ground.errors import UserError


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention: ranks and head parts, in elements."""

    kv_rank: int
    q_rank: int
    rope_dim: int
    nope_dim: int
    v_dim: int


@dataclass(frozen=True, slots=True)
class Experts:
    """Mixture of experts: how many, how many a token uses, and their width in elements.

    `dense_layers` is how many of the first layers have a plain feed-forward block instead.
    """

    count: int
    per_token: int
    intermediate: int
    shared_intermediate: int = 0
    dense_layers: int = 0


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder: sizes in elements.

    `sliding_window` (tokens) holds for all layers but every `global_every`-th. `native_bits` is
    what one weight takes in the published checkpoint. `extra_parameters` are towers beside the
    decoder (vision), loaded but not run for text.
    """

    id: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    context: int
    license: str = ""
    gated: bool = False
    experts: Experts | None = None
    mla: LatentAttention | None = None
    sliding_window: int = 0
    global_every: int = 1
    native_bits: float = 16
    qkv_bias: bool = False
    qk_norm: bool = False
    gated_mlp: bool = True
    extra_parameters: int = 0

    @property
    def attention_parameters(self) -> int:
        """Weights of one layer's attention."""
        if self.mla:
            m, q_width = self.mla, self.heads * (self.mla.nope_dim + self.mla.rope_dim)
            query = m.q_rank * (self.hidden + q_width) if m.q_rank else self.hidden * q_width
            latent = self.hidden * (m.kv_rank + m.rope_dim)
            spread = m.kv_rank * self.heads * (m.nope_dim + m.v_dim)
            return query + latent + spread + self.heads * m.v_dim * self.hidden
        query, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        bias = query + 2 * keys if self.qkv_bias else 0
        return self.hidden * (2 * query + 2 * keys) + bias

    def feed_forward_parameters(self, intermediate: int) -> int:
        """Weights of a feed-forward block of that width."""
        return (3 if self.gated_mlp else 2) * self.hidden * intermediate

    @property
    def embedding_parameters(self) -> int:
        """Weights of the token table; the output head is counted apart unless tied."""
        return self.vocab * self.hidden

    @property
    def linear_parameters(self) -> int:
        """Weights of all layers: what quantisation shrinks and every prompt token meets."""
        return self.layers * self.attention_parameters + self._all_feed_forward(None)

    @property
    def parameters(self) -> int:
        """All weights, counted from the shape."""
        tables = self.embedding_parameters * (1 if self.tied else 2)
        norms = (2 * self.layers + 1) * self.hidden
        norms += 2 * self.layers * self.head_dim if self.qk_norm else 0
        return self.linear_parameters + tables + norms + self.extra_parameters

    @property
    def active_parameters(self) -> int:
        """Weights of the layers that one token meets, without the tables."""
        per_token = self.experts.per_token if self.experts else None
        return self.layers * self.attention_parameters + self._all_feed_forward(per_token)

    def touched_parameters(self, tokens: float) -> float:
        """Weights of the layers that a step over `tokens` tokens reads at least once."""
        if not self.experts:
            return self.linear_parameters
        missed = (1 - self.experts.per_token / self.experts.count) ** tokens
        read = self.experts.count * (1 - missed)
        return self.layers * self.attention_parameters + self._all_feed_forward(read)

    def _all_feed_forward(self, experts_used: float | None) -> int:
        e = self.experts
        if e is None:
            return self.layers * self.feed_forward_parameters(self.intermediate)
        used = e.count if experts_used is None else experts_used
        sparse = used * self.feed_forward_parameters(e.intermediate)
        shared = self.feed_forward_parameters(e.shared_intermediate) + self.hidden * e.count
        dense = e.dense_layers * self.feed_forward_parameters(self.intermediate)
        return int((self.layers - e.dense_layers) * (sparse + shared) + dense)

    def kv_elements(self, tokens: float, tensor_parallel: int = 1) -> float:
        """Cache elements one GPU keeps for a sequence of `tokens` tokens.

        Latent attention keeps one compressed vector a token, on every GPU; key-value heads are
        shared out until there is one a GPU.
        """
        if self.mla:
            return tokens * self.layers * (self.mla.kv_rank + self.mla.rope_dim)
        heads = max(self.kv_heads / tensor_parallel, 1)
        global_layers = self.layers // self.global_every if self.sliding_window else self.layers
        windowed = min(tokens, self.sliding_window) * (self.layers - global_layers)
        return 2 * heads * self.head_dim * (tokens * global_layers + windowed)


def shape_from_config(name: str, config: Mapping[str, Any]) -> ModelShape:
    """The shape that a `config.json` describes.

    Raises:
        UserError: a size is missing, so nothing can be computed.
    """
    text = config.get("text_config")
    c: Mapping[str, Any] = {**config, **text} if isinstance(text, dict) else config
    try:
        heads, hidden, layers = (
            int(c[key]) for key in ("num_attention_heads", "hidden_size", "num_hidden_layers")
        )
        vocab = int(c["vocab_size"])
        intermediate = int(c.get("intermediate_size") or c.get("ffn_dim") or 4 * hidden)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"config.json of {name} does not say enough to plan with",
            why=f"{error} is missing or no number",
            fix="Plan with a Hugging Face id of the catalogue (`penstock catalog models`).",
        ) from error
    return ModelShape(
        id=name,
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        heads=heads,
        kv_heads=int(c.get("num_key_value_heads") or heads),
        head_dim=int(c.get("head_dim") or hidden // heads),
        vocab=vocab,
        tied=bool(c.get("tie_word_embeddings", False)),
        context=int(c.get("max_position_embeddings") or 4096),
        experts=_experts(c, intermediate),
        mla=_latent(c),
        sliding_window=_window(c),
        global_every=int(c.get("sliding_window_pattern") or 1),
        qkv_bias=c.get("model_type") in ("qwen2", "qwen2_moe"),
        qk_norm=str(c.get("model_type", "")).startswith("qwen3"),
    )


def _experts(c: Mapping[str, Any], intermediate: int) -> Experts | None:
    count = c.get("num_local_experts") or c.get("num_experts") or c.get("n_routed_experts")
    if not count:
        return None
    width = int(c.get("moe_intermediate_size") or intermediate)
    shared = int(c.get("n_shared_experts") or 0) * width
    return Experts(
        count=int(count),
        per_token=int(c.get("num_experts_per_tok") or 1),
        intermediate=width,
        shared_intermediate=int(c.get("shared_expert_intermediate_size") or shared),
        dense_layers=int(c.get("first_k_dense_replace") or 0),
    )


def _latent(c: Mapping[str, Any]) -> LatentAttention | None:
    if not c.get("kv_lora_rank"):
        return None
    return LatentAttention(
        kv_rank=int(c["kv_lora_rank"]),
        q_rank=int(c.get("q_lora_rank") or 0),
        rope_dim=int(c.get("qk_rope_head_dim") or 64),
        nope_dim=int(c.get("qk_nope_head_dim") or 128),
        v_dim=int(c.get("v_head_dim") or 128),
    )


def _window(c: Mapping[str, Any]) -> int:
    if c.get("use_sliding_window") is False:
        return 0
    return int(c.get("sliding_window") or 0)
