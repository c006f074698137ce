"""The network, and the copying that is laid into it before training.

Copying an argument ("Reykjavik" from the question into the call) needs an induction circuit: one
head that tells each token what came before it, and a later head that looks for an earlier place
where the same thing came before. Small models trained from noise did not find it in 6.5 M tokens,
so it is laid in by hand; all of it is trainable, and training makes it precise:

- layer 0, heads 0 and 1 attend one and two tokens back (a rotation of the rotary embedding) and
  write a sketch of those tokens into channels that embeddings leave empty;
- layer 1, heads 0 to 2 compare the sketch of (this token, the one before) with the sketch of
  (one back, two back) at every place, in slowly rotating dimensions, and copy the token there.

Two tokens of context tell apart the pieces that occur twice in a name, where one would not.
"""

import math

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

HIDDEN, HEADS, HEAD_DIM, LAYERS, INNER = 256, 4, 64, 4, 768
CONTEXT = 2048
ROPE_THETA = 1_000_000.0
TOKEN = slice(0, 192)
SKETCH = 31
BACK_ONE = slice(192, 192 + SKETCH)
BACK_TWO = slice(192 + SKETCH, 192 + 2 * SKETCH)
CONSTANT = 255
EMBEDDING_STD = 0.06
FAST_PAIRS = 10
NEAR_PAIRS = range(20, 32)
FAR_PAIRS = range(14, 20)


def make_config(vocabulary: int, end_id: int, pad_id: int) -> LlamaConfig:
    """The shape: Llama, tied embeddings, 3.9 M parameters."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=HEAD_DIM,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        initializer_range=0.02,
        bos_token_id=None,
        eos_token_id=end_id,
        pad_token_id=pad_id,
    )


def make_network(config: LlamaConfig, seed: int) -> LlamaForCausalLM:
    """A fresh network with the induction circuit laid in."""
    torch.manual_seed(seed)
    network = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        _lay_embeddings(network, generator)
        sketch = _orthonormal(SKETCH, TOKEN.stop, generator)
        _lay_looking_back(network, sketch)
        _lay_copying(network, sketch, generator)
        for layer in network.model.layers:
            layer.mlp.down_proj.weight.mul_(1 / math.sqrt(2 * LAYERS))
    return network


def _lay_embeddings(network: LlamaForCausalLM, generator: torch.Generator) -> None:
    table = network.model.embed_tokens.weight
    table.zero_()
    drawn = torch.randn(len(table), TOKEN.stop, generator=generator)
    scale = EMBEDDING_STD * math.sqrt(TOKEN.stop)
    table[:, TOKEN] = scale * drawn / drawn.norm(dim=1, keepdim=True)  # equal: so are the scores
    table[:, CONSTANT] = 5 * EMBEDDING_STD
    network.model.norm.weight[CONSTANT] = 0.0


def _lay_looking_back(network: LlamaForCausalLM, sketch: Tensor) -> None:
    attention = network.model.layers[0].self_attn
    frequencies = ROPE_THETA ** (-torch.arange(HEAD_DIM // 2) / (HEAD_DIM // 2))
    constant = 5.0
    strength = math.sqrt(10 * math.sqrt(HEAD_DIM)) / constant
    for head, target in ((0, BACK_ONE), (1, BACK_TWO)):
        rows = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
        angle = frequencies * (head + 1)
        fast = (torch.arange(HEAD_DIM // 2) < FAST_PAIRS).float()
        query = torch.cat([fast, torch.zeros(HEAD_DIM // 2)])
        key = torch.cat([fast * torch.cos(angle), fast * torch.sin(angle)])
        for projection, vector in ((attention.q_proj, query), (attention.k_proj, key)):
            projection.weight[rows] = 0.0
            projection.weight[rows, CONSTANT] = strength * vector
        _carry(attention, head, sketch, target)


def _carry(attention: nn.Module, head: int, sketch: Tensor, target: slice) -> None:
    first = head * HEAD_DIM
    value, out = attention.v_proj.weight, attention.o_proj.weight
    value[first : first + HEAD_DIM] = 0.0
    value[first : first + SKETCH, TOKEN] = sketch
    out[:, first : first + HEAD_DIM] = 0.0
    out[target, first : first + SKETCH] = EMBEDDING_STD * torch.eye(SKETCH)


def _lay_copying(network: LlamaForCausalLM, sketch: Tensor, generator: torch.Generator) -> None:
    attention = network.model.layers[1].self_attn
    near, far = 1.7, 1.4
    half = HEAD_DIM // 2
    for head in range(3):
        first = head * HEAD_DIM
        query, key = attention.q_proj.weight, attention.k_proj.weight
        query[first : first + HEAD_DIM] = 0.0
        key[first : first + HEAD_DIM] = 0.0
        mixed = _orthonormal(SKETCH, SKETCH, generator)
        dims = [first + i for i in NEAR_PAIRS] + [first + half + i for i in NEAR_PAIRS]
        for row, dim in enumerate(dims):
            query[dim, TOKEN] = near * (mixed[row] @ sketch)
            key[dim, BACK_ONE] = near * mixed[row]
        dims = [first + i for i in FAR_PAIRS] + [first + half + i for i in FAR_PAIRS]
        for row, dim in enumerate(dims):
            query[dim, BACK_ONE] = far * mixed[row]
            key[dim, BACK_TWO] = far * mixed[row]
        copied = slice(first, first + HEAD_DIM)
        attention.v_proj.weight[copied] = 0.0
        attention.v_proj.weight[copied, copied] = torch.eye(HEAD_DIM)
        attention.o_proj.weight[:, copied] = 0.0
        attention.o_proj.weight[copied, copied] = 4 * EMBEDDING_STD * torch.eye(HEAD_DIM)


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    square = torch.randn(columns, columns, generator=generator)
    return torch.linalg.qr(square).Q[:rows].contiguous()
