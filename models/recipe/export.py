"""Write a trained network as the model folder that `transformers`, vLLM and Penstock load."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from .dialogues import TEMPLATE
from .network import CONTEXT
from .vocabulary import END, PAD, ROLES


def export(network: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write weights in bfloat16, configuration, tokenizer and chat template to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in network.state_dict().items()
        if name != "lm_head.weight"  # tied to the embeddings
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = network.config
    end, pad = config.eos_token_id, config.pad_token_id
    _write(folder / "config.json", _describe(network))
    _write(folder / "generation_config.json", {"eos_token_id": end, "pad_token_id": pad})
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT,
            "eos_token": END,
            "pad_token": PAD,
            "additional_special_tokens": list(ROLES),
            "clean_up_tokenization_spaces": False,
        },
    )
    template = TEMPLATE.read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


SHAPE = (
    "model_type vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads"
    " num_key_value_heads head_dim hidden_act max_position_embeddings rms_norm_eps rope_parameters"
    " tie_word_embeddings attention_bias mlp_bias initializer_range bos_token_id eos_token_id"
    " pad_token_id"
)


def _describe(network: LlamaForCausalLM) -> dict[str, object]:
    known = network.config.to_dict()
    return {key: known[key] for key in SHAPE.split()} | {
        "architectures": ["LlamaForCausalLM"],
        "dtype": "bfloat16",
        "rope_theta": known["rope_parameters"]["rope_theta"],  # where older loaders look
        "transformers_version": known["transformers_version"],
        "use_cache": True,
    }


def _write(path: Path, content: dict[str, object]) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
