"""Weights counted from the shape against what others published: within 1 %."""

import pytest

from penstock.catalog.catalogue import load
from penstock.catalog.shape import ModelShape, shape_from_config
from penstock.sizing.precision import PRECISIONS, weights_bytes

CATALOGUE = load()

# Source: llama-bench of llama.cpp, columns "size" and "params" as it prints them for GGUF files of
# these models; tables in public repositories, read 2026-11-21.
LLAMA_BENCH = {
    "meta-llama/Llama-2-7b-chat-hf": 6.74,
    "meta-llama/Llama-2-13b-chat-hf": 13.02,
    "meta-llama/Llama-3.1-8B-Instruct": 8.03,
    "meta-llama/Llama-3.1-70B-Instruct": 70.55,
    "meta-llama/Llama-3.2-1B-Instruct": 1.24,
    "meta-llama/Llama-3.2-3B-Instruct": 3.21,
    "mistralai/Mistral-7B-Instruct-v0.3": 7.25,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 46.70,
    "Qwen/Qwen2.5-7B-Instruct": 7.62,
    "Qwen/Qwen2.5-14B-Instruct": 14.77,
    "Qwen/Qwen3-8B": 8.19,
    "Qwen/Qwen3-14B": 14.77,
    "Qwen/Qwen3-32B": 32.76,
    "Qwen/Qwen3-30B-A3B": 30.53,
    "Qwen/Qwen3-235B-A22B": 235.09,
    "deepseek-ai/DeepSeek-V3": 671.03,
    "openai/gpt-oss-20b": 20.91,
    "openai/gpt-oss-120b": 116.83,
}
# Source: model cards on the Hugging Face Hub (Qwen2.5), read 2026-11-21; with and without tables.
MODEL_CARDS = {
    "Qwen/Qwen2.5-3B-Instruct": (3.09, 2.77),
    "Qwen/Qwen2.5-7B-Instruct": (7.61, 6.53),
}


def shape(name: str) -> ModelShape:
    found = CATALOGUE.find_model(name)
    assert found
    return found


@pytest.mark.parametrize(("name", "billions"), LLAMA_BENCH.items())
def test_parameters_are_those_that_were_published(name: str, billions: float) -> None:
    assert shape(name).parameters / 1e9 == pytest.approx(billions, rel=0.01)


@pytest.mark.parametrize(("name", "billions"), MODEL_CARDS.items())
def test_tables_are_told_apart(name: str, billions: tuple[float, float]) -> None:
    whole, layers = billions
    found = shape(name)
    assert found.parameters / 1e9 == pytest.approx(whole, rel=0.01)
    assert found.linear_parameters / 1e9 == pytest.approx(layers, rel=0.01)


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("Qwen/Qwen3-14B", 27.51 * 1.073741824),  # llama-bench, F16
        ("meta-llama/Llama-3.2-1B-Instruct", 2.30 * 1.073741824),  # llama-bench, F16
        ("meta-llama/Llama-3.1-405B-Instruct", 810),  # Hugging Face on Llama 3.1, 16 bits
        ("meta-llama/Llama-2-13b-chat-hf", 26),
    ],
)
def test_sixteen_bit_weights_take_what_was_published(name: str, gigabytes: float) -> None:
    found = weights_bytes(shape(name), PRECISIONS["none"]) / 1e9
    assert found == pytest.approx(gigabytes, rel=0.01)


def test_a_checkpoint_that_is_published_quantised_stays_so() -> None:
    """gpt-oss-20b comes in MXFP4: its experts at 4.25 bits, 12.8 GiB with the rest."""
    found = weights_bytes(shape("openai/gpt-oss-20b"), PRECISIONS["none"]) / 2**30
    assert found == pytest.approx(12.8, rel=0.05)


@pytest.mark.parametrize("name", sorted(CATALOGUE.models))
def test_a_shape_is_whole(name: str) -> None:
    found = shape(name)
    assert found.heads % found.kv_heads == 0
    assert found.active_parameters <= found.linear_parameters < found.parameters
    assert found.touched_parameters(1) <= found.touched_parameters(64) <= found.linear_parameters
    assert found.license


def test_a_mixture_reads_few_experts_for_one_token_and_nearly_all_for_many() -> None:
    mixtral = shape("mistralai/Mixtral-8x7B-Instruct-v0.1")
    assert mixtral.touched_parameters(1) == pytest.approx(mixtral.active_parameters, rel=0.001)
    assert mixtral.touched_parameters(64) == pytest.approx(mixtral.linear_parameters, rel=0.001)


LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}


def test_a_config_gives_the_same_shape_as_the_catalogue() -> None:
    found = shape_from_config("x", LLAMA)
    assert found.parameters == shape("meta-llama/Llama-3.1-8B-Instruct").parameters


def test_experts_and_latent_attention_are_read_from_a_config() -> None:
    config = LLAMA | {
        "model_type": "deepseek_v3",
        "n_routed_experts": 64,
        "num_experts_per_tok": 6,
        "moe_intermediate_size": 1408,
        "n_shared_experts": 2,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
    }
    found = shape_from_config("x", config)
    assert found.experts is not None
    assert (found.experts.count, found.experts.shared_intermediate) == (64, 2816)
    assert found.mla is not None
    assert found.kv_elements(1) == 32 * (512 + 64)


def test_the_text_part_of_a_multimodal_config_counts() -> None:
    assert shape_from_config("x", {"text_config": LLAMA}).layers == 32
