"""Which machine it is, and how fast one would be that was measured."""

from dataclasses import replace
from typing import Any

import pytest
from tests.sizing.test_speed import CATALOGUE

from penstock.catalog.shape import ModelShape
from penstock.ground.errors import UserError
from penstock.manifest.model import Manifest
from penstock.plan.question import Wishes, ask
from penstock.sizing.calibration import read_calibration
from penstock.sizing.correction import Measured, correct
from penstock.sizing.demand import Demand
from penstock.sizing.here import estimate, machine, processor, serve
from penstock.sizing.serving import Load

CPU = {"cpu": "EPYC", "cpus": 4, "ram_mib": 16000, "gpu": "", "gpu_memory_mib": 0}


def shape(name: str = "Qwen/Qwen3-0.6B") -> ModelShape:
    found = CATALOGUE.find_model(name)
    assert found
    return found


def demand(**load: Any) -> Demand:
    return ask(Manifest.model_validate({"load": load}), shape(), Wishes())


@pytest.mark.parametrize(
    ("driver", "memory_mib", "name"),
    [
        ("NVIDIA A10G", 23028, "A10G"),
        ("NVIDIA L4", 23034, "L4"),
        ("NVIDIA L40S", 46068, "L40S"),
        ("Tesla T4", 15360, "T4"),
        ("Tesla V100-SXM2-16GB", 16384, "V100-16"),
        ("NVIDIA A100-SXM4-40GB", 40960, "A100-40"),
        ("NVIDIA A100-SXM4-80GB", 81920, "A100-80"),
        ("NVIDIA H100 80GB HBM3", 81559, "H100"),
        ("NVIDIA H200", 143771, "H200"),
        ("NVIDIA RTX A6000", 49140, "RTX-A6000"),
        ("NVIDIA RTX 6000 Ada Generation", 49140, "RTX-6000-ADA"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887, "RTX-PRO-6000"),
    ],
)
def test_a_driver_s_name_leads_to_the_catalogue(driver: str, memory_mib: int, name: str) -> None:
    found = machine({**CPU, "gpu": driver, "gpu_memory_mib": memory_mib}, CATALOGUE)
    assert found
    assert found.name == name


@pytest.mark.parametrize(
    ("named", "name"),
    [("g5.xlarge", "A10G"), ("ml.g6e.xlarge", "L40S"), ("h100 x 2", "H100"), ("L4", "L4")],
)
def test_what_the_user_calls_it_comes_first(named: str, name: str) -> None:
    found = machine({**CPU, "named": named}, CATALOGUE)
    assert found
    assert found.name == name


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match="is no machine that the catalogue knows"):
        machine({"named": "m5.large"}, CATALOGUE)


def test_a_gpu_of_which_nothing_is_known_is_no_machine() -> None:
    unknown = {**CPU, "gpu": "NVIDIA GeForce 256", "gpu_memory_mib": 64}
    assert machine(unknown, CATALOGUE) is None
    assert machine({}, CATALOGUE) is None


def test_a_cpu_that_nobody_measured_is_a_guess() -> None:
    asked = demand()
    served = serve(asked, processor("EPYC", 4, 16000), "vllm")
    found = estimate(asked, served, read_calibration())
    assert served.engine == "vllm-cpu"
    assert "no measurement" in found.unknown
    assert found.ttft_ms_p50.high > 3 * found.ttft_ms_p50.low


def test_a_measured_one_is_as_fast_as_it_was_measured_with_narrow_bars() -> None:
    asked = demand(prompt_tokens=200, output_tokens=60, requests_per_minute=1)
    served = serve(asked, processor("EPYC", 4, 16000), "embedded")
    plain = read_calibration()
    seen = {"ttft_ms": 25.0, "tpot_ms": 1.0, "tokens_per_s": 700.0}
    loads = [Measured(Load(200, 60), 1, 0, seen)] * 3
    fit = correct(served, plain.efficiency, loads, "2026-11-21")
    found = estimate(asked, served, replace(plain, local=(fit,)))
    assert found.unknown == ""
    assert found.fit == fit
    assert found.tpot_ms.middle == pytest.approx(1.0, rel=0.05)
    assert found.ttft_ms_p50.middle == pytest.approx(25, rel=0.2)
    assert found.tpot_ms.high < 1.2
    before = estimate(asked, served, plain)
    assert found.capacity_rpm.middle != before.capacity_rpm.middle
