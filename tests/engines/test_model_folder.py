"""What a model folder says of itself."""

import json
from pathlib import Path

import pytest

from penstock.engines.model_folder import ModelFacts, read_facts
from penstock.ground.errors import UserError

LLAMA = {
    "max_position_embeddings": 8192,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "hidden_size": 256,
}

HEADER = json.dumps({"__metadata__": {}, "w": {"dtype": "U8", "data_offsets": [0, 40]}}).encode()
WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER + bytes(40)


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    (tmp_path / "chat_template.jinja").write_text("<tool_call>")
    facts = read_facts(str(tmp_path))
    assert facts == ModelFacts(
        str(tmp_path),
        is_folder=True,
        weights_bytes=len(WEIGHTS),
        context=8192,
        kv_bytes_per_token=2 * 4 * 2 * 32 * 2,
        template="<tool_call>",
    )


def test_a_template_in_the_tokenizer_and_a_text_model_inside(tmp_path: Path) -> None:
    config = {"text_config": {**LLAMA, "head_dim": 64}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "hello"}))
    facts = read_facts(str(tmp_path))
    assert (facts.template, facts.context) == ("hello", 8192)
    assert facts.kv_bytes_per_token == 2 * 4 * 2 * 64 * 2


def test_the_largest_adapter_counts(tmp_path: Path) -> None:
    adapters = {}
    for rank in (8, 32):
        folder = tmp_path / str(rank)
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
        adapters[f"r{rank}"] = str(folder)
    assert read_facts("x/y", adapters) == ModelFacts("x/y", lora_rank=32)


@pytest.mark.parametrize(
    ("source", "words"),
    [("s3://b/m", "not on this machine"), ("/no/such/folder", "no model folder"), (".", "config")],
)
def test_what_is_no_model(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        read_facts(source)


@pytest.mark.parametrize("kept", [0, 7, 8, 30, len(WEIGHTS) - 1, len(WEIGHTS) + 1])
def test_weights_that_are_cut_off(tmp_path: Path, kept: int) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "model.safetensors").write_bytes((WEIGHTS + b"x")[:kept])
    with pytest.raises(UserError, match=r"model\.safetensors are damaged or incomplete"):
        read_facts(str(tmp_path))


def test_a_damaged_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError, match=r"damaged config\.json"):
        read_facts(str(tmp_path))
