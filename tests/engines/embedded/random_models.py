"""Makes checkpoints of random weights, and tokenizers, on the fly."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

BASE: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
}

SPECIAL = ["<|im_start|>", "<|im_end|>"]

CHAT_TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>tools\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'nobody' %}{% continue %}{% endif %}
    {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
    {%- for call in message.tool_calls or [] %}
        {{- '<tool_call>\\n' + (call.function | tojson) + '\\n</tool_call>' }}
    {%- endfor %}
    {% generation %}{{- '' }}{% endgeneration %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

TEXTS = [
    "The weather in Paris is cloudy, seven degrees; in Madrid the sun shines all day.",
    'Call <tool_call>\n{"name": "get_current_weather", "arguments": {"location": "Oslo"}}\n',
    "Ein schöner Tag für Köln. 東京は晴れです。 😀 emoji and ünïcödé.",
    "user assistant system tool result: {'query': 'lamp', 'count': 2}",
]


def write_safetensors(file: Path, tensors: dict[str, Any], dtype: str = "F32") -> None:
    """Write arrays as F32, F16 or BF16."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in tensors.items():
        values = np.ascontiguousarray(tensor, dtype=np.float32)
        if dtype == "BF16":
            raw = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        else:
            raw = values.astype({"F32": np.float32, "F16": np.float16}[dtype]).tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)


def layer_sizes(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Return [out, in] of the projections of a layer."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    return {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }


def random_tensors(config: dict[str, Any], biased: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Return all weights of a model; `biased` are the projections that have a bias."""
    random = np.random.default_rng(seed)
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    tensors = {
        "model.embed_tokens.weight": random.standard_normal((vocabulary, hidden)),
        "model.norm.weight": 1 + 0.2 * random.standard_normal(hidden),
    }
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = 0.2 * random.standard_normal((vocabulary, hidden))
    for n in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{n}"
        for name, size in layer_sizes(config).items():
            tensors[f"{prefix}.{name}.weight"] = 0.15 * random.standard_normal(size)
            if name in biased:
                tensors[f"{prefix}.{name}.bias"] = 0.5 * random.standard_normal(size[0])
        gains = {"input_layernorm": hidden, "post_attention_layernorm": hidden}
        if config["architectures"] == ["Qwen3ForCausalLM"]:
            gains |= dict.fromkeys(("self_attn.q_norm", "self_attn.k_norm"), config["head_dim"])
        for name, size in gains.items():
            tensors[f"{prefix}.{name}.weight"] = 1 + 0.2 * random.standard_normal(size)
    return tensors


def write_model(
    folder: Path,
    config: dict[str, Any] | None = None,
    *,
    biased: tuple[str, ...] = (),
    dtype: str = "F32",
    shards: int = 1,
    seed: int = 0,
) -> Path:
    """Write `config.json` and the weights; the keys given replace those of `BASE`."""
    folder.mkdir(parents=True)
    whole = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"} | BASE | (config or {})
    (folder / "config.json").write_text(json.dumps(whole))
    tensors = random_tensors(whole, biased, seed)
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, dtype)
        return folder
    places: dict[str, str] = {}
    for part in range(shards):
        names = list(tensors)[part::shards]
        file = f"model-{part + 1:05}-of-{shards:05}.safetensors"
        write_safetensors(folder / file, {name: tensors[name] for name in names}, dtype)
        places |= dict.fromkeys(names, file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": places})
    )
    return folder


def write_tokenizer(folder: Path, chat_template: str | None = CHAT_TEMPLATE) -> None:
    """Train a byte-level BPE of 320 entries on a few sentences and write it."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": {"__type": "AddedToken", "content": SPECIAL[1], "special": True},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if chat_template is not None:
        (folder / "chat_template.jinja").write_text(chat_template)


def write_adapter(
    folder: Path,
    modules: tuple[str, ...],
    *,
    rank: int = 4,
    seed: int = 1,
    config: dict[str, Any] | None = None,
) -> Path:
    """Write a LoRA adapter for a model of the `BASE` shape in PEFT's layout."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    tensors = {}
    for n in range(BASE["num_hidden_layers"]):
        for name in modules:
            outputs, inputs = layer_sizes(BASE)[name]
            prefix = f"base_model.model.model.layers.{n}.{name}"
            tensors[f"{prefix}.lora_A.weight"] = 0.3 * random.standard_normal((rank, inputs))
            tensors[f"{prefix}.lora_B.weight"] = 0.3 * random.standard_normal((outputs, rank))
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    whole = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 8,
        "target_modules": sorted({name.split(".")[1] for name in modules}),
    }
    (folder / "adapter_config.json").write_text(json.dumps(whole | (config or {})))
    return folder
