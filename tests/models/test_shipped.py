"""The model folder in the package: complete, small, and made by the recipe beside it."""

import json
import struct
from pathlib import Path

from models.recipe.dialogues import TEMPLATE
from tokenizers import Tokenizer

MIB = 1024 * 1024


def test_folder_is_complete_and_a_few_mebibytes(shipped_model: Path) -> None:
    names = {path.name for path in shipped_model.iterdir()}
    assert names == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in shipped_model.iterdir()) < 10 * MIB


def test_weights_are_bfloat16_of_the_described_shape(shipped_model: Path) -> None:
    config = json.loads((shipped_model / "config.json").read_text())
    tensors = _read_header(shipped_model / "model.safetensors")
    assert {tensor["dtype"] for tensor in tensors.values()} == {"BF16"}
    assert tensors["model.embed_tokens.weight"]["shape"] == [
        config["vocab_size"],
        config["hidden_size"],
    ]
    assert config["tie_word_embeddings"]
    assert "lm_head.weight" not in tensors
    layers = {name.split(".")[2] for name in tensors if name.startswith("model.layers.")}
    assert len(layers) == config["num_hidden_layers"]


def test_chat_template_is_the_one_that_was_trained_with(shipped_model: Path) -> None:
    shipped = (shipped_model / "chat_template.jinja").read_text(encoding="utf-8")
    assert shipped == TEMPLATE.read_text(encoding="utf-8")


def test_end_and_padding_are_tokens_of_the_tokenizer(
    shipped_model: Path, shipped_tokenizer: Tokenizer
) -> None:
    config = json.loads((shipped_model / "config.json").read_text())
    named = json.loads((shipped_model / "tokenizer_config.json").read_text())
    assert shipped_tokenizer.token_to_id(named["eos_token"]) == config["eos_token_id"]
    assert shipped_tokenizer.token_to_id(named["pad_token"]) == config["pad_token_id"]
    assert shipped_tokenizer.get_vocab_size() == config["vocab_size"]


def test_tool_call_marks_stay_in_decoded_text(shipped_tokenizer: Tokenizer) -> None:
    text = "<tool_call>\n{}\n</tool_call><|end|>"
    ids = shipped_tokenizer.encode(text).ids
    assert shipped_tokenizer.decode(ids) == "<tool_call>\n{}\n</tool_call>"


def _read_header(path: Path) -> dict[str, dict[str, object]]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, dict[str, object]] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header
