"""From a manifest to the question: where the shape comes from, and what is refused."""

import json
from pathlib import Path

import pytest

from penstock.catalog.catalogue import load
from penstock.ground.errors import UserError
from penstock.manifest.model import Manifest
from penstock.plan.question import Wishes, ask, find_shape, place

CATALOGUE = load()
CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
}


def manifest(**sections: object) -> Manifest:
    return Manifest.model_validate(sections)


def test_a_folder_with_a_config_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    shape = find_shape(manifest(model={"id": str(tmp_path)}), CATALOGUE, tmp_path / "none")
    assert (shape.layers, shape.kv_heads, shape.head_dim, shape.context) == (4, 2, 16, 2048)


def test_the_hub_cache_is_read_where_the_catalogue_knows_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "models--acme--tiny" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    shape = find_shape(manifest(model={"id": "acme/tiny"}), CATALOGUE, tmp_path)
    assert shape.id == "acme/tiny"


def test_a_broken_config_says_where(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        find_shape(manifest(model={"id": str(tmp_path)}), CATALOGUE, tmp_path)


def test_a_config_that_says_too_little_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(UserError, match="does not say enough"):
        find_shape(manifest(model={"id": str(tmp_path)}), CATALOGUE, tmp_path)


def test_a_context_beyond_the_model_is_refused(tmp_path: Path) -> None:
    asked = manifest(model={"id": "Qwen/Qwen2.5-7B-Instruct", "context": 1_000_000})
    shape = find_shape(asked, CATALOGUE, tmp_path)
    with pytest.raises(UserError, match="longer than"):
        ask(asked, shape, Wishes())


def test_what_the_manifest_says_reaches_the_question(tmp_path: Path) -> None:
    asked = manifest(
        model={"id": "Qwen/Qwen2.5-7B-Instruct", "context": 4096, "quantization": "awq"},
        load={"requests_per_minute": 30, "hours_per_day": 8},
        target={"kind": "eks", "region": "eu-west-1", "instances": ["g5.xlarge"]},
        scale={"min": 0, "max": 3, "spot": 0.8},
        adapters={"org-a": "./a", "org-b": "./b"},
        engine={"tensor_parallel": 2},
    )
    demand = ask(asked, find_shape(asked, CATALOGUE, tmp_path), Wishes(region="us-west-2"))
    assert (demand.quantization, demand.place, demand.region) == ("awq", "eks", "us-west-2")
    assert (demand.spot_share, demand.least_machines, demand.most_machines) == (0.8, 0, 3)
    assert (demand.layout.tensor_parallel, demand.layout.lora_slots) == (2, 3)
    assert demand.hours_per_day == 8


@pytest.mark.parametrize(
    "extra",
    [
        ["--kv-cache-dtype", "fp8_e5m2", "--pipeline-parallel-size", "2"],
        ["--pipeline-parallel-size=2", "--kv-cache-dtype=fp8"],
    ],
)
def test_what_vllm_is_told_beside_counts(tmp_path: Path, extra: list[str]) -> None:
    asked = manifest(model={"id": "Qwen/Qwen3-8B"}, engine={"kind": "vllm", "extra_args": extra})
    layout = ask(asked, find_shape(asked, CATALOGUE, tmp_path), Wishes()).layout
    assert (layout.cache_dtype, layout.pipeline_parallel, layout.gpus) == ("fp8", 2, 2)


def test_a_profile_sets_what_the_manifest_leaves_open(tmp_path: Path) -> None:
    engine = {"kind": "vllm", "profile": "high-throughput", "max_sequences": 100}
    asked = manifest(model={"id": "Qwen/Qwen3-8B"}, engine=engine)
    layout = ask(asked, find_shape(asked, CATALOGUE, tmp_path), Wishes()).layout
    assert (layout.utilization, layout.step_tokens, layout.max_sequences) == (0.95, 32_768, 100)


@pytest.mark.parametrize(
    ("target", "where"),
    [
        ({"kind": "local"}, "ecs"),
        ({"kind": "ecs"}, "ecs"),
        ({"kind": "eks"}, "eks"),
        ({"kind": "sagemaker"}, "sagemaker realtime"),
        ({"kind": "sagemaker", "mode": "components"}, "sagemaker components"),
    ],
)
def test_places(target: dict[str, str], where: str) -> None:
    assert place(manifest(target=target)) == where
