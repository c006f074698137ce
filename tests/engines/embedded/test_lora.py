"""Adapters that would be computed wrongly are refused, each with its reason."""

from pathlib import Path
from typing import Any

import pytest
from tests.engines.embedded.random_models import (
    layer_sizes,
    write_adapter,
    write_safetensors,
)

from penstock.engines.embedded.lora import read_adapter
from penstock.engines.embedded.shape import Shape, read_shape
from penstock.ground.errors import UserError

QUERY = ("self_attn.q_proj",)


@pytest.fixture
def shape(folder: Path) -> Shape:
    return read_shape(folder)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"peft_type": "LOHA"}, "LOHA"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "biases"),
        ({"fan_in_fan_out": True}, "transposed"),
        ({"modules_to_save": ["lm_head"]}, "lm_head"),
        ({"rank_pattern": {"q_proj": 2}}, "ranks of their own"),
        ({"r": "four"}, "int"),
        ({"r": 8}, r"shape \[4, 48\].*implies \[8, 48\]"),
    ],
)
def test_an_adapter_of_another_kind_is_refused(
    tmp_path: Path, shape: Shape, config: dict[str, Any], complaint: str
) -> None:
    folder = write_adapter(tmp_path / "adapter", QUERY, config=config)
    with pytest.raises(UserError, match=complaint):
        read_adapter("it", folder, shape)


@pytest.mark.parametrize(
    ("tensor", "complaint"),
    [
        ("base_model.model.lm_head.lora_A.weight", "not a projection"),
        ("base_model.model.model.layers.0.mlp.router.lora_A.weight", "not a projection"),
        ("base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight", "layer 3 of 3"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "lora_B"),
    ],
)
def test_tensors_that_do_not_belong_are_named(
    tmp_path: Path, shape: Shape, tensor: str, complaint: str
) -> None:
    folder = write_adapter(tmp_path / "adapter", QUERY)
    write_safetensors(folder / "adapter_model.safetensors", {tensor: [[0.0] * 48] * 4})
    with pytest.raises(UserError, match=complaint):
        read_adapter("it", folder, shape)


def test_only_the_adapted_matrices_cost_anything(tmp_path: Path, shape: Shape) -> None:
    folder = write_adapter(tmp_path / "adapter", ("self_attn.v_proj", "mlp.up_proj"))
    adapter = read_adapter("it", folder, shape)
    assert [set(layer) for layer in adapter.layers] == [{"qkv", "gate_up"}] * 3
    pair = adapter.layers[0]["qkv"]
    outputs = sum(layer_sizes({**_sizes(shape)})[f"self_attn.{x}_proj"][0] for x in "qkv")
    assert pair.up.shape == (outputs, 4)
    assert not pair.up[: shape.heads * shape.head_dim].any()


def _sizes(shape: Shape) -> dict[str, Any]:
    return {
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
    }
