"""The choice: what is worth having, why others fall, and what would do instead."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.catalog.catalogue import load
from penstock.sizing.calibration import Interval, read_calibration
from penstock.sizing.candidate import Candidate, Scales
from penstock.sizing.choice import Choice, choose, options
from penstock.sizing.demand import PLACES, Demand
from penstock.sizing.memory import Layout
from penstock.sizing.serving import Load

CATALOGUE = load()
CALIBRATION = read_calibration()


def demand(model: str = "meta-llama/Llama-3.1-8B-Instruct", **changes: object) -> Demand:
    shape = CATALOGUE.find_model(model)
    assert shape
    asked = Demand(
        shape=shape,
        quantization="none",
        load=Load(500, 200),
        requests_per_minute=60,
        layout=Layout(),
        place="ecs",
        region="us-east-1",
        context=8192,
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


def chosen(asked: Demand) -> Choice:
    return choose(asked, CATALOGUE, CALIBRATION)


def test_the_cheapest_is_first_and_each_further_one_is_sooner() -> None:
    pareto = chosen(demand()).pareto
    assert len(pareto) > 1
    for cheaper, dearer in pairwise(pareto):
        assert cheaper.bill.usd_per_month <= dearer.bill.usd_per_month
        assert dearer.ttft_ms_p95.middle < cheaper.ttft_ms_p95.middle


def test_nothing_that_serves_beats_the_pareto_set() -> None:
    choice = chosen(demand())
    for each in choice.serving:
        assert any(
            best.bill.usd_per_month <= each.bill.usd_per_month
            and best.ttft_ms_p95.middle <= each.ttft_ms_p95.middle * 1.011
            for best in choice.pareto
        )


def test_what_falls_is_told_once_for_each_type() -> None:
    choice = chosen(demand())
    fallen = [each.option.instance.name for each in choice.fallen]
    serving = {each.option.instance.name for each in choice.serving}
    assert len(fallen) == len(set(fallen))
    assert not serving & set(fallen)
    assert serving | set(fallen) == set(CATALOGUE.instances)
    assert all(each.why for each in choice.fallen)


def test_neuron_machines_are_refused_by_name() -> None:
    fallen = {each.option.instance.name: each.why for each in chosen(demand()).fallen}
    assert "Neuron" in fallen["inf2.xlarge"]
    assert "Neuron" in fallen["trn1.32xlarge"]


@pytest.mark.parametrize(
    ("model", "instance", "says"),
    [
        ("meta-llama/Llama-2-13b-chat-hf", "g5.2xlarge", "quantization"),
        ("meta-llama/Llama-3.1-8B-Instruct", "g4dn.2xlarge", "awq"),
        ("meta-llama/Llama-3.1-405B-Instruct", "p5.48xlarge", "fp8"),
        ("meta-llama/Llama-3.1-70B-Instruct", "g5.12xlarge", "quantization"),
    ],
)
def test_what_circulates_and_is_wrong_is_refused_with_what_would_do(
    model: str, instance: str, says: str
) -> None:
    """13B FP16 on an A10G; 8B FP16 on a T4; 405B BF16 on 8 x 80 GB; 70B FP16 on 4 x A10G."""
    choice = chosen(demand(model, instances=(instance,), context=4096, ttft_ms_p95=10_000))
    assert choice.cheapest is None
    (fallen,) = choice.fallen
    assert fallen.missing_gib > 1
    assert "GiB a GPU, has" in fallen.why
    assert any(says in near for near in choice.nearest), choice.nearest


def test_a_context_that_fits_is_offered() -> None:
    asked = demand(instances=("g5.xlarge",), context=65_536)
    assert chosen(asked).cheapest is None
    near = next(each for each in chosen(asked).nearest if each.startswith("context: "))
    tokens = int(near.removeprefix("context: ").split(":")[0])
    assert 8192 < tokens < 65_536
    assert chosen(replace(asked, context=tokens)).cheapest is not None


def test_a_bound_on_machines_is_kept_and_its_lifting_offered() -> None:
    choice = chosen(demand(instances=("g5.xlarge",), requests_per_minute=6000, most_machines=1))
    assert choice.cheapest is None
    assert any(near.startswith("any number of machines") for near in choice.nearest)


def test_a_machine_with_fewer_gpus_than_a_copy_takes_falls() -> None:
    choice = chosen(demand(layout=Layout(tensor_parallel=4), instances=("g5.xlarge",)))
    assert [each.why for each in choice.fallen] == ["it has fewer GPUs than the 4 of a copy"]
    assert choice.nearest[0].startswith("tensor_parallel left open: ")
    deep = Layout(tensor_parallel=2, pipeline_parallel=2)
    both = chosen(demand(layout=deep, instances=("g5.12xlarge",), extrapolate=True)).cheapest
    assert both is not None
    assert both.option.copies == 1
    assert both.use.weights_gib == pytest.approx(14.96 / 4, rel=0.01)


def test_exploring_tries_every_place_and_precision() -> None:
    tried = list(options(demand(explore=True), CATALOGUE))
    assert {option.place for option in tried} == set(PLACES)
    assert {option.precision.name for option in tried} >= {"none", "fp8", "awq", "nf4"}


def test_v100_and_t4_have_no_kernels_for_fp8() -> None:
    choice = chosen(demand(quantization="fp8", instances=("p3.2xlarge", "g4dn.xlarge")))
    assert {each.why for each in choice.fallen} == {
        "V100-16 has no kernels for fp8",
        "T4 has no kernels for fp8",
    }


def test_outside_of_what_was_measured_there_is_no_estimate() -> None:
    asked = demand("deepseek-ai/DeepSeek-V2-Lite-Chat")
    choice = chosen(asked)
    assert choice.cheapest is None
    assert any("no measurement" in each.why for each in choice.fallen)
    wide = chosen(replace(asked, extrapolate=True)).cheapest
    assert wide is not None
    assert wide.extrapolated


def cost(asked: Demand) -> float:
    cheapest = chosen(asked).cheapest
    return cheapest.bill.usd_per_month if cheapest else float("inf")


FEW = ("g5.xlarge", "g5.12xlarge", "g6.xlarge", "g6e.xlarge", "p4d.24xlarge")


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(1, 3000), more=st.floats(0, 3000))
def test_more_load_never_costs_less(rate: float, more: float) -> None:
    less = demand(instances=FEW, requests_per_minute=rate)
    assert cost(replace(less, requests_per_minute=rate + more)) >= cost(less) * 0.9999


@settings(max_examples=15, deadline=None)
@given(hours=st.floats(1, 24), more=st.floats(0, 12))
def test_longer_days_never_cost_less(hours: float, more: float) -> None:
    less = demand(instances=FEW, hours_per_day=hours)
    assert cost(replace(less, hours_per_day=min(24, hours + more))) >= cost(less)


@settings(max_examples=15, deadline=None)
@given(bound=st.floats(200, 5000), more=st.floats(0, 5000))
def test_patience_never_costs_more(bound: float, more: float) -> None:
    strict = demand(instances=FEW, ttft_ms_p95=bound)
    assert cost(replace(strict, ttft_ms_p95=bound + more)) <= cost(strict) * 1.0001


def width(interval: Interval) -> float:
    return interval.high / interval.low


def test_bars_widen_with_the_distance_to_what_was_measured() -> None:
    near = demand(instances=("p4d.24xlarge",), load=Load(256, 348), context=1024)
    far = replace(near, load=Load(4000, 20), context=8192)
    widths = []
    for asked in (near, far):
        scales = Scales(asked, CATALOGUE, CALIBRATION)
        found = scales.weigh(next(iter(options(asked, CATALOGUE))))
        assert isinstance(found, Candidate)
        distance = CALIBRATION.distance(found.served, asked.load)
        widths.append((distance, width(found.tpot_ms)))
    assert widths[0][0] < widths[1][0]
    assert widths[0][1] < widths[1][1]


def test_unchecked_figures_of_a_gpu_widen_the_bars() -> None:
    asked = demand(instances=("g6.xlarge",), ttft_ms_p95=10_000)
    gpu = CATALOGUE.gpus["L4"]
    unchecked = replace(gpu, dated=replace(gpu.dated, source="nvidia-unchecked"))
    doubted = replace(CATALOGUE, gpus={**CATALOGUE.gpus, "L4": unchecked})
    sure = choose(asked, CATALOGUE, CALIBRATION).cheapest
    unsure = choose(asked, doubted, CALIBRATION).cheapest
    assert sure is not None
    assert unsure is not None
    assert width(unsure.tpot_ms) > width(sure.tpot_ms) * 1.4
