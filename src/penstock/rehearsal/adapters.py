"""A LoRA adapter for the shipped model, small and random, for rehearsing roll-outs."""

import io
import json
import struct
import tarfile

import numpy as np
from numpy.typing import NDArray

from penstock.engines.embedded.__main__ import SHIPPED_FOLDER

MODULES = ("self_attn.q_proj", "self_attn.v_proj")


def archive(seed: int, *, rank: int = 4, strength: float = 0.1) -> bytes:
    """Return a .tar.gz as SageMaker wants it: the adapter's two files at its root."""
    shape = json.loads((SHIPPED_FOLDER / "config.json").read_text())
    random, hidden = np.random.default_rng(seed), shape["hidden_size"]
    tensors = {}
    for layer in range(shape["num_hidden_layers"]):
        for module in MODULES:
            stem = f"base_model.model.model.layers.{layer}.{module}"
            heads = "num_attention_heads" if "q_proj" in module else "num_key_value_heads"
            out = shape[heads] * shape["head_dim"]
            down = random.normal(0, strength, (rank, hidden)).astype(np.float32)
            up = random.normal(0, strength, (out, rank)).astype(np.float32)
            tensors[f"{stem}.lora_A.weight"], tensors[f"{stem}.lora_B.weight"] = down, up
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": [each.rpartition(".")[2] for each in MODULES],
    }
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as tar:
        _add(tar, "adapter_config.json", json.dumps(config).encode())
        _add(tar, "adapter_model.safetensors", _safetensors(tensors))
    return held.getvalue()


def _safetensors(tensors: dict[str, NDArray[np.float32]]) -> bytes:
    """Return the file; its layout: length of the header, header, data (safetensors' README)."""
    header, at = {}, 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.nbytes],
        }
        at += tensor.nbytes
    written = json.dumps(header).encode()
    return (
        struct.pack("<Q", len(written)) + written + b"".join(t.tobytes() for t in tensors.values())
    )


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
