"""`config.json`: what is computed is read as transformers reads it, all else is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.engines.embedded.random_models import BASE

from penstock.engines.embedded.shape import Shape, read_shape
from penstock.ground.errors import UserError


def read(folder: Path, **config: Any) -> Shape:
    whole = {"architectures": ["LlamaForCausalLM"]} | BASE | config
    present = {key: value for key, value in whole.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(present))
    return read_shape(folder)


def test_the_defaults_are_those_of_the_family(tmp_path: Path) -> None:
    shape = read(tmp_path, head_dim=..., num_key_value_heads=...)
    assert (shape.head_dim, shape.kv_heads) == (12, 4)
    assert read(tmp_path, architectures=["Qwen3ForCausalLM"], head_dim=...).head_dim == 128
    assert read(tmp_path, architectures=["Qwen2ForCausalLM"]).qkv_bias
    assert read(tmp_path, architectures=["MistralForCausalLM"]).windows == (4096,) * 3
    assert read(tmp_path, eos_token_id=[1, 2]).eos == (1, 2)
    assert read(tmp_path, eos_token_id=None).eos == ()


def test_layer_types_decide_the_windows(tmp_path: Path) -> None:
    kinds = ["full_attention", "sliding_attention", "full_attention"]
    shape = read(
        tmp_path,
        architectures=["Qwen3ForCausalLM"],
        use_sliding_window=True,
        sliding_window=64,
        layer_types=kinds,
    )
    assert shape.windows == (None, 64, None)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"architectures": ["GemmaForCausalLM"]}, "GemmaForCausalLM"),
        ({"architectures": ...}, "architectures"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4}}, "yarn"),
        ({"rope_scaling": {"type": "linear"}}, "factor"),
        ({"partial_rotary_factor": 0.5}, "part of each head"),
        ({"hidden_size": ...}, "hidden_size"),
        ({"hidden_size": "large"}, "hidden_size"),
    ],
)
def test_what_cannot_be_computed_is_refused(
    tmp_path: Path, config: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        read(tmp_path, **config)
