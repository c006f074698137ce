"""How long a step takes: the roofline and what is added to it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.catalog.catalogue import load
from penstock.sizing.calibration import read_calibration
from penstock.sizing.precision import PRECISIONS
from penstock.sizing.speed import (
    Served,
    arrival_ms,
    decode_step_ms,
    exchange_ms,
    prefill_ms,
    step_ms,
)

CATALOGUE = load()
EFFICIENCY = read_calibration().efficiency
FACTORS = EFFICIENCY.bandwidth


def served(
    model: str = "meta-llama/Llama-3.1-8B-Instruct",
    gpu: str = "H100",
    precision: str = "none",
    tensor_parallel: int = 1,
) -> Served:
    shape = CATALOGUE.find_model(model)
    assert shape
    return Served(shape, PRECISIONS[precision], CATALOGUE.gpus[gpu], tensor_parallel)


def test_no_step_is_faster_than_the_memory_of_the_data_sheet() -> None:
    """8 billion weights of 2 bytes over 1,555 GB/s take 10 ms, whatever the kernels do."""
    eight = served(gpu="A100-40")
    weights = eight.shape.linear_parameters * 2
    assert decode_step_ms(eight, EFFICIENCY, 1, 100) > weights / 1555e9 * 1e3


@given(st.integers(1, 256), st.integers(16, 30_000))
def test_more_sequences_and_longer_ones_never_take_less(batch: int, context: int) -> None:
    eight = served()
    here = decode_step_ms(eight, EFFICIENCY, batch, context)
    assert decode_step_ms(eight, EFFICIENCY, batch + 1, context) > here
    assert decode_step_ms(eight, EFFICIENCY, batch, context + 16) > here


@given(st.integers(1, 60_000))
def test_a_longer_prompt_never_takes_less(tokens: int) -> None:
    eight = served()
    assert prefill_ms(eight, EFFICIENCY, tokens + 64) > prefill_ms(eight, EFFICIENCY, tokens)


def test_two_gpus_halve_the_bytes_and_pay_for_the_exchange() -> None:
    one, two = served(gpu="A10G"), served(gpu="A10G", tensor_parallel=2)
    assert exchange_ms(one, EFFICIENCY, 1) == 0
    assert decode_step_ms(two, EFFICIENCY, 1, 500) < decode_step_ms(one, EFFICIENCY, 1, 500)
    alone = decode_step_ms(one, EFFICIENCY, 1, 500)
    half = (alone - step_ms(one, EFFICIENCY)) / 2
    assert decode_step_ms(two, EFFICIENCY, 1, 500) > half + exchange_ms(two, EFFICIENCY, 1)


def test_four_bits_are_read_sooner_than_sixteen() -> None:
    wide, narrow = served(gpu="L4"), served(gpu="L4", precision="awq")
    ratio = decode_step_ms(wide, EFFICIENCY, 1, 100) / decode_step_ms(narrow, EFFICIENCY, 1, 100)
    assert 2.2 < ratio < 3.6


def test_a_mixture_of_experts_reads_few_of_them_alone_and_all_in_a_crowd() -> None:
    sparse = served("Qwen/Qwen3-30B-A3B")
    dense = served("Qwen/Qwen3-32B")
    assert (
        decode_step_ms(sparse, EFFICIENCY, 1, 100) < decode_step_ms(dense, EFFICIENCY, 1, 100) / 3
    )
    crowd = sparse.shape.touched_parameters(256)
    assert crowd == pytest.approx(sparse.shape.linear_parameters, rel=0.01)


def test_deeper_models_cost_more_beside_bytes_and_operations() -> None:
    small, large = served(), served("meta-llama/Llama-3.1-70B-Instruct")
    assert step_ms(large, EFFICIENCY) > step_ms(small, EFFICIENCY)
    assert arrival_ms(large, EFFICIENCY) > arrival_ms(small, EFFICIENCY)


def test_a_better_gpu_is_never_slower() -> None:
    eight = served(gpu="H100")
    more = replace(eight, gpu=replace(eight.gpu, bandwidth_gb_s=eight.gpu.bandwidth_gb_s * 2))
    assert decode_step_ms(more, EFFICIENCY, 8, 500) < decode_step_ms(eight, EFFICIENCY, 8, 500)
