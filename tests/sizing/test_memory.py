"""What lies in a GPU's memory, and the errors that circulate about it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.catalog.catalogue import load
from penstock.catalog.shape import ModelShape
from penstock.sizing.memory import GIB, Layout, MemoryUse, memory_use
from penstock.sizing.precision import PRECISIONS, weights_bytes

CATALOGUE = load()


def shape(name: str) -> ModelShape:
    found = CATALOGUE.find_model(name)
    assert found
    return found


def use(
    model: str, instance: str, precision: str = "none", layout: Layout | None = None
) -> MemoryUse:
    memory = CATALOGUE.instances[instance].gpu_seen_mib
    return memory_use(shape(model), PRECISIONS[precision], memory, layout or Layout())


@pytest.mark.parametrize(
    ("model", "instance", "tensor_parallel", "lacks_gib"),
    [
        ("meta-llama/Llama-2-13b-chat-hf", "g5.2xlarge", 1, 4),
        ("meta-llama/Llama-3.1-8B-Instruct", "g4dn.2xlarge", 1, 2),
        ("meta-llama/Llama-3.1-405B-Instruct", "p5.48xlarge", 8, 20),
        ("meta-llama/Llama-3.1-70B-Instruct", "p4d.24xlarge", 2, 30),
    ],
)
def test_what_does_not_fit_is_told_with_what_is_missing(
    model: str, instance: str, tensor_parallel: int, lacks_gib: float
) -> None:
    """13B FP16 on one A10G, 8B FP16 on a T4, 405B BF16 on 8 x 80 GB: all published, all wrong."""
    found = use(model, instance, layout=Layout(tensor_parallel=tensor_parallel))
    assert found.missing_gib(4096) > lacks_gib
    assert found.sequences(4096) == 0


def test_what_does_fit() -> None:
    assert use("meta-llama/Llama-3.1-8B-Instruct", "g5.xlarge").sequences(4096) > 2
    assert use("meta-llama/Llama-3.1-8B-Instruct", "g4dn.2xlarge", "awq").sequences(4096) > 2
    assert use("meta-llama/Llama-2-13b-chat-hf", "g6e.xlarge").sequences(4096) > 2
    eight = Layout(tensor_parallel=8)
    assert use("meta-llama/Llama-3.1-405B-Instruct", "p5.48xlarge", "fp8", eight).sequences(4096)


@pytest.mark.parametrize(
    ("precision", "gib"),
    [("none", 14.96), ("float32", 29.92), ("fp8", 8.46), ("int8", 8.46), ("awq", 5.34)],
)
def test_quantisation_shrinks_the_layers_and_not_the_tables(precision: str, gib: float) -> None:
    found = weights_bytes(shape("meta-llama/Llama-3.1-8B-Instruct"), PRECISIONS[precision]) / GIB
    assert found == pytest.approx(gib, rel=0.01)


@pytest.mark.parametrize(
    ("model", "bytes_per_token"),
    [
        ("meta-llama/Llama-2-7b-chat-hf", 524_288),  # 32 layers x 2 x 32 heads x 128 x 2 bytes
        ("meta-llama/Llama-3.1-8B-Instruct", 131_072),  # a quarter: 8 key-value heads
        ("meta-llama/Llama-3.1-70B-Instruct", 327_680),
        ("deepseek-ai/DeepSeek-V3", 70_272),  # 61 layers x (512 + 64) x 2 bytes: latent
    ],
)
def test_the_cache_of_a_token(model: str, bytes_per_token: int) -> None:
    layout = Layout(tensor_parallel=8)
    alone = memory_use(shape(model), PRECISIONS["none"], 81_920, Layout())
    assert alone.kv_bytes_per_token == bytes_per_token
    spread = memory_use(shape(model), PRECISIONS["none"], 81_920, layout)
    latent = shape(model).mla is not None
    assert spread.kv_bytes_per_token == bytes_per_token / (1 if latent else 8)


def test_key_value_heads_are_not_shared_out_beyond_one_a_gpu() -> None:
    small = shape("Qwen/Qwen2.5-0.5B-Instruct")  # 2 key-value heads
    two = memory_use(small, PRECISIONS["none"], 81_920, Layout(tensor_parallel=2))
    four = memory_use(small, PRECISIONS["none"], 81_920, Layout(tensor_parallel=4))
    assert four.kv_bytes_per_token == two.kv_bytes_per_token


def test_a_sliding_window_stops_growing() -> None:
    gemma = use("google/gemma-3-27b-it", "p5.48xlarge")
    windowed = gemma.sequence_gib(131_072)
    full = 131_072 * 2 * 16 * 128 * 62 * 2 / GIB
    assert windowed < full / 4


def test_an_fp8_cache_holds_twice_as_much() -> None:
    plain = use("meta-llama/Llama-3.1-8B-Instruct", "g5.xlarge")
    narrow = use("meta-llama/Llama-3.1-8B-Instruct", "g5.xlarge", layout=Layout(cache_dtype="fp8"))
    assert narrow.kv_bytes_per_token * 2 == plain.kv_bytes_per_token


def test_lora_slots_take_room_and_are_shared_out() -> None:
    model = "meta-llama/Llama-3.1-8B-Instruct"
    one = use(model, "g6e.12xlarge", layout=Layout(lora_slots=1)).adapters_gib
    eight = use(model, "g6e.12xlarge", layout=Layout(lora_slots=8)).adapters_gib
    spread = use(model, "g6e.12xlarge", layout=Layout(lora_slots=8, tensor_parallel=4))
    # rank 16 on all linear layers of Llama 3.1 8B: 41.9 million weights
    assert one * GIB == pytest.approx(41_943_040 * 2, rel=0.001)
    assert eight == pytest.approx(8 * one)
    assert spread.adapters_gib == pytest.approx(eight / 4)


@pytest.mark.parametrize(
    ("total_gib", "left_gib"),
    [(79.11, 54.62), (79.15, 54.39)],
)
def test_what_is_left_for_the_cache_is_what_vllm_logged(total_gib: float, left_gib: float) -> None:
    """Llama 3.1 8B on one GPU of 80 GB at 0.9; vLLM's own lines as public repositories have them.

    They count graphs apart (0.4 GiB), which vLLM captures after it has sized the cache.
    """
    model = shape("meta-llama/Llama-3.1-8B-Instruct")
    found = memory_use(model, PRECISIONS["none"], total_gib * 1024, Layout())
    assert found.weights_gib == pytest.approx(14.99, rel=0.01)
    assert found.cache_gib + 0.4 == pytest.approx(left_gib, abs=0.8)


def test_tokens_in_the_cache_are_what_vllm_logged() -> None:
    """4.60 GiB of cache hold 37,696 tokens of Llama 3.1 8B: 2,356 blocks of 16."""
    per_token = use("meta-llama/Llama-3.1-8B-Instruct", "g5.xlarge").kv_bytes_per_token
    assert 4.60 * GIB / per_token == pytest.approx(37_696, rel=0.002)


def test_a_t4_has_less_than_its_label_says() -> None:
    assert use("Qwen/Qwen3-0.6B", "g4dn.xlarge").total_gib == pytest.approx(14.74)


def test_a_pipeline_shares_out_the_layers() -> None:
    model = "meta-llama/Llama-3.1-70B-Instruct"
    alone = use(model, "p5.48xlarge", layout=Layout())
    deep = use(model, "p5.48xlarge", layout=Layout(pipeline_parallel=4))
    assert deep.weights_gib == pytest.approx(alone.weights_gib / 4)
    assert deep.kv_bytes_per_token == pytest.approx(alone.kv_bytes_per_token / 4)


MODELS = st.sampled_from(sorted(CATALOGUE.models))
LAYOUTS = st.builds(
    Layout,
    tensor_parallel=st.sampled_from((1, 2, 4, 8)),
    utilization=st.floats(0.3, 0.99),
    max_sequences=st.integers(1, 512),
    lora_slots=st.integers(0, 16),
    cache_dtype=st.sampled_from(("auto", "fp8")),
)


@given(
    model=MODELS,
    precision=st.sampled_from(sorted(PRECISIONS)),
    layout=LAYOUTS,
    memory_mib=st.floats(8_000, 300_000),
    more_mib=st.floats(0, 100_000),
    tokens=st.integers(1, 32_768),
)
def test_more_memory_never_fits_less(
    model: str, precision: str, layout: Layout, memory_mib: float, more_mib: float, tokens: int
) -> None:
    wanted = shape(model)
    less = memory_use(wanted, PRECISIONS[precision], memory_mib, layout)
    more = memory_use(wanted, PRECISIONS[precision], memory_mib + more_mib, layout)
    assert more.sequences(tokens) >= less.sequences(tokens)
    assert more.missing_gib(tokens) <= less.missing_gib(tokens)


@given(model=MODELS, layout=LAYOUTS, memory_mib=st.floats(8_000, 300_000))
def test_the_parts_add_up_to_the_gpu(model: str, layout: Layout, memory_mib: float) -> None:
    found = memory_use(shape(model), PRECISIONS["none"], memory_mib, layout)
    parts = (
        found.reserved_gib,
        found.weights_gib,
        found.activations_gib,
        found.overhead_gib,
        found.adapters_gib,
        found.cache_gib,
    )
    assert sum(parts) == pytest.approx(memory_mib / 1024)


@given(model=MODELS, tokens=st.integers(1, 32_768), layout=LAYOUTS)
def test_more_utilization_never_fits_less(model: str, tokens: int, layout: Layout) -> None:
    memory = 81_920
    less = memory_use(shape(model), PRECISIONS["none"], memory, layout)
    wider = replace(layout, utilization=1.0)
    more = memory_use(shape(model), PRECISIONS["none"], memory, wider)
    assert more.sequences(tokens) >= less.sequences(tokens)
