"""What can be known before a deploy: quotas, limits, gates, zones, old and unchecked figures."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from penstock.plan import text
from penstock.plan.checks import Quota
from penstock.plan.question import Wishes
from penstock.plan.report import Report, as_data

Plan = Callable[..., Report]
SAGEMAKER = {"kind": "sagemaker", "region": "us-east-1", "mode": "realtime"}


def said(report: Report) -> str:
    return "\n".join(text.lines(report))


def test_a_gated_model_wants_a_token(plan: Plan) -> None:
    assert "set HF_TOKEN" in said(plan())
    assert "set HF_TOKEN" not in said(plan(has_hub_token=True))
    assert "set HF_TOKEN" not in said(plan(model={"id": "Qwen/Qwen3-8B"}))


@pytest.mark.parametrize(
    ("model", "note"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3.1 (read its terms of use)"),
        ("CohereForAI/c4ai-command-r-08-2024", "no commercial use"),
        ("Qwen/Qwen3-8B", "apache-2.0"),
    ],
)
def test_the_license_is_told(plan: Plan, model: str, note: str) -> None:
    assert note in said(plan(model={"id": model}))


@pytest.mark.parametrize(
    ("target", "instances", "quota", "needs"),
    [
        ("ecs", ["g5.2xlarge"], "Running On-Demand G and VT instances", 8),
        ("eks", ["p4d.24xlarge"], "Running On-Demand P instances", 96),
        ("sagemaker", ["ml.g5.2xlarge"], "ml.g5.2xlarge for endpoint usage", 1),
    ],
)
def test_the_quota_of_the_family_is_named(
    plan: Plan, target: str, instances: list[str], quota: str, needs: float
) -> None:
    report = plan(target={"kind": target, "region": "us-east-1", "instances": instances})
    assert report.quota is not None
    assert (report.quota.name, report.quota.needs) == (quota, needs)
    assert "not known (--quotas asks AWS)" in said(report)


def test_a_quota_that_is_too_small_is_told(plan: Plan) -> None:
    report = plan()
    assert report.quota is not None
    short = replace(report, quota=replace(report.quota, has=0))
    assert "yours is 0: ask for more first" in said(short)
    enough = replace(report, quota=replace(report.quota, has=64))
    assert "yours is 64" in said(enough)
    assert not Quota("ec2", "x", 4, "vCPUs").is_short


def test_answers_of_more_than_a_minute_must_stream_on_sagemaker(plan: Plan) -> None:
    long = plan(load={"output_tokens": 2000, "requests_per_minute": 5}, target=SAGEMAKER)
    assert "stream them" in said(long)
    assert "stream them" not in said(plan(load={"output_tokens": 50}, target=SAGEMAKER))


def test_a_type_that_the_region_lacks_falls(plan: Plan) -> None:
    report = plan(target={"kind": "ecs", "region": "af-south-1"})
    fallen = {each.option.instance.name: each.why for each in report.choice.fallen}
    assert fallen["g5.xlarge"] == "not offered in af-south-1"


def test_a_single_zone_is_told(plan: Plan) -> None:
    zones = {
        (name, region): letters
        for name, each in plan().catalogue.instances.items()
        for region, letters in each.zones.items()
        if len(letters) == 1 and each.gpu in ("L4", "L40S", "A100-40", "H100")
    }
    (name, region), letters = next(iter(zones.items()))
    report = plan(target={"kind": "ecs", "region": region, "instances": [name]})
    assert f"only zone {region}{letters[0]} offers {name}" in said(report)


def test_the_containers_memory_leaves_room_on_the_machine(plan: Plan) -> None:
    """A g5.xlarge has 16 GiB of RAM: a task of 30 GiB never places there."""
    report = plan(target={"kind": "ecs", "region": "us-east-1", "instances": ["g5.xlarge"]})
    assert "at most 14 of 16 GiB of RAM" in said(report)


def test_old_and_unchecked_figures_are_flagged_in_every_form(plan: Plan) -> None:
    report = plan(target={**SAGEMAKER, "instances": ["ml.g6e.xlarge"]})
    told, data = said(report), as_data(report)
    assert "  old      prices of more than 90 days: " in told
    assert "USD/month*" in told
    assert "not checked against a source: the price of ml.g6e.xlarge" in told
    assert data["stale_prices"]
    assert "the price of ml.g6e.xlarge" in str(data["unchecked"])


def test_waking_from_zero_takes_its_time(plan: Plan) -> None:
    asleep = plan(
        target={"kind": "sagemaker", "region": "us-east-1", "mode": "components"},
        scale={"min": 0},
    )
    assert "waking from zero took 9 minutes" in said(asleep)
    assert asleep.best
    assert asleep.best.bill.items[0].on_demand


def test_hours_of_an_endpoint_that_cannot_stop_are_an_assumption(plan: Plan) -> None:
    """A guide's `stop the endpoint`: SageMaker has only delete and create."""
    assert "until it is deleted" in said(plan(load={"hours_per_day": 8}, target=SAGEMAKER))
    assert "until it is deleted" not in said(plan(target=SAGEMAKER))


def test_the_price_of_another_region_is_not_passed_off_as_its_own(plan: Plan) -> None:
    report = plan(target={"kind": "sagemaker", "region": "eu-west-1"})
    told = said(report)
    assert "price unknown in eu-west-1: the one of us-east-1 is shown" in told
    assert "penstock catalog refresh --region eu-west-1" in told
    assert report.best
    assert not report.best.bill.items[0].checked


def test_ec2_has_prices_of_the_region_itself(plan: Plan) -> None:
    report = plan(target={"kind": "ecs", "region": "eu-west-1", "instances": ["g5.xlarge"]})
    assert "price unknown" not in said(report)
    assert report.best
    assert report.best.bill.items[0].usd == 1.123
    assert report.best.bill.items[0].checked


def test_a_year_s_reservation_is_told_where_machines_always_run(plan: Plan) -> None:
    always = {"kind": "ecs", "region": "us-east-1", "instances": ["g5.xlarge"]}
    assert "reserved for a year" in said(plan(target=always))
    assert "37% less as of 2025-11-30" in said(plan(target=always))
    assert "reserved for a year" not in said(plan(target=always, scale={"min": 0}))
    assert "reserved for a year" not in said(plan(target=always, scale={"savings_plan": 0.3}))
    assert "reserved for a year" not in said(plan(target=SAGEMAKER))


def test_lmi_and_triton_are_planned_as_the_vllm_that_they_run(plan: Plan) -> None:
    vllm = plan(target=SAGEMAKER)
    for kind, name in (("lmi", "LMI"), ("triton", "Triton")):
        report = plan(engine={"kind": kind}, target=SAGEMAKER)
        assert f"served by {name}" in said(report)
        assert f"{name} runs vLLM inside" in said(report)
        assert report.best
        assert vllm.best
        assert report.best.tpot_ms == vllm.best.tpot_ms


def test_tgi_has_no_estimate_unless_one_is_asked_for(plan: Plan) -> None:
    report = plan(engine={"kind": "tgi"}, target=SAGEMAKER)
    assert report.best is None
    assert "no measurement of TGI's engine (--extrapolate)" in said(report)
    asked = plan(engine={"kind": "tgi"}, target=SAGEMAKER, wishes=Wishes(extrapolate=True))
    assert asked.best
    assert "no measurement of TGI's engine" in asked.best.extrapolated


def test_triton_has_no_components(plan: Plan) -> None:
    target = {"kind": "sagemaker", "mode": "components", "region": "us-east-1"}
    report = plan(engine={"kind": "triton"}, target=target)
    assert report.best is None
    assert "Triton does not run on sagemaker components" in said(report)


def test_a_pipeline_is_refused_unless_asked_for_and_its_bars_are_wide(plan: Plan) -> None:
    """32 billion parameters at 16 bits on four GPUs of 48 GB, a quarter of the layers each."""
    sections: dict[str, object] = {
        "model": {"id": "Qwen/Qwen2.5-32B-Instruct", "context": 4096},
        "engine": {"extra_args": ["--pipeline-parallel-size", "4"]},
        "target": {"kind": "ecs", "region": "us-east-1", "instances": ["g6e.12xlarge"]},
    }
    assert "one measurement alone with pipeline parallelism" in said(plan(**sections))
    deep = plan(wishes=Wishes(extrapolate=True), **sections).best
    assert deep
    assert deep.option.layout.gpus == 4
    flat = plan(**sections | {"engine": {"tensor_parallel": 4}}).best
    assert flat
    assert deep.use.weights_gib == pytest.approx(flat.use.weights_gib)
    wide, narrow = deep.tpot_ms, flat.tpot_ms
    assert wide.high / wide.middle > narrow.high / narrow.middle


def test_exploring_beyond_what_was_measured_tries_pipelines_too(plan: Plan) -> None:
    wishes = Wishes(explore=True, extrapolate=True)
    target = {"kind": "ecs", "region": "us-east-1", "instances": ["g6.12xlarge"]}
    depths = {
        each.option.layout.pipeline_parallel
        for each in plan(wishes=wishes, target=target).choice.serving
    }
    assert {1, 2, 4} <= depths


def test_ten_customers_share_an_endpoint(plan: Plan) -> None:
    adapters = {f"org-{letter}": f"./{letter}" for letter in "abcdefghij"}
    assert "90% less" in said(plan(adapters=adapters))


def test_serverless_has_no_gpu_and_realtime_is_offered(plan: Plan) -> None:
    report = plan(target={**SAGEMAKER, "mode": "serverless"})
    assert "serverless inference has no GPU" in said(report)
    assert report.choice.nearest[0].startswith("target.mode: realtime")


def test_a_gpu_whose_figures_nobody_checked_carries_an_asterisk(plan: Plan) -> None:
    target = {"kind": "ecs", "region": "us-east-1", "instances": ["g7e.2xlarge"]}
    told = said(plan(target=target, wishes=Wishes(extrapolate=True)))
    assert " a token*" in told
    assert "bandwidth and arithmetic of RTX-PRO-6000" in told
