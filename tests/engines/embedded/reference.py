"""What transformers says: run by the interpreter that has torch, never by the tests' own.

`python reference.py JOBS.json`: each job is `{"model", "ids", "adapter"?, "logits"}`, a forward
pass whose logits are saved as a .npy file, or `{"model", "messages", "tools", "text"}`, a rendered
conversation saved as a text file. Adapters are merged by hand: W + s B A.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found]
from safetensors.torch import load_file  # type: ignore[import-not-found]
from transformers import AutoModelForCausalLM, AutoTokenizer  # type: ignore[import-not-found]


def compute(job: dict[str, Any]) -> None:
    """Save the logits of one forward pass."""
    model = AutoModelForCausalLM.from_pretrained(
        job["model"], dtype=torch.float32, attn_implementation="eager"
    ).eval()
    if job.get("adapter"):
        merge(model, Path(job["adapter"]))
    with torch.no_grad():
        logits = model(torch.tensor([job["ids"]])).logits[0]
    np.save(job["logits"], logits.numpy())


def merge(model: Any, folder: Path) -> None:
    """Add an adapter to the weights it was made for."""
    config = json.loads((folder / "adapter_config.json").read_text())
    rank = config["r"]
    scale = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
    tensors = load_file(folder / "adapter_model.safetensors")
    weights = dict(model.named_parameters())
    for name, down in tensors.items():
        if ".lora_A." not in name:
            continue
        up = tensors[name.replace("lora_A", "lora_B")]
        target = name.removeprefix("base_model.model.").replace(".lora_A", "")
        with torch.no_grad():
            weights[target] += scale * (up @ down)


def render(job: dict[str, Any]) -> None:
    """Save a rendered conversation."""
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    text = tokenizer.apply_chat_template(
        job["messages"], tools=job["tools"], tokenize=False, add_generation_prompt=True
    )
    Path(job["text"]).write_text(text, "utf-8")


if __name__ == "__main__":
    for each in json.loads(Path(sys.argv[1]).read_text()):
        (render if "messages" in each else compute)(each)
