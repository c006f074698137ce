"""Random LoRA adapters for a model folder, made with NumPy in PEFT's layout."""

import json
from pathlib import Path

import numpy as np
from tests.engines.embedded.random_models import layer_sizes, write_safetensors

MODULES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
RANK = 8


def write_random_adapter(folder: Path, model: Path, seed: int) -> Path:
    """Write an adapter so strong that hardly any answer stays as it was."""
    folder.mkdir(parents=True)
    config = json.loads((model / "config.json").read_text())
    sizes, random = layer_sizes(config), np.random.default_rng(seed)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for name in MODULES:
            outputs, inputs = sizes[name]
            prefix = f"base_model.model.model.layers.{layer}.{name}"
            tensors[f"{prefix}.lora_A.weight"] = 0.2 * random.standard_normal((RANK, inputs))
            tensors[f"{prefix}.lora_B.weight"] = 0.2 * random.standard_normal((outputs, RANK))
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    described = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "target_modules": sorted({name.split(".")[1] for name in MODULES}),
    }
    (folder / "adapter_config.json").write_text(json.dumps(described))
    return folder
