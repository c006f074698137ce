"""What a plan puts before the machines is what the templates of the same manifest make."""

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.catalog.catalogue import load
from penstock.manifest.model import Manifest
from penstock.plan.question import front
from penstock.plan.report import Report
from penstock.plan.stack_price import StackPrice, price_of_all
from penstock.sizing.front import ENDPOINT_SERVICES
from penstock.targets.aws.network import INTERFACES
from penstock.targets.sagemaker.stacks import Observed, emit
from penstock.wiring.cloud import gateway_files

Plan = Callable[..., Report]
CATALOGUE = load()
HUB = {"id": "Qwen/Qwen2.5-7B-Instruct"}
SAGEMAKER = {"kind": "sagemaker", "region": "us-east-1", "instances": ["g5.xlarge"]}
PRIVATE = {"network": {"own": True, "egress": "endpoints"}}
NAMED = {"domain": "chat.example.com", "zone": "Z0123456789"}
FRONTS: dict[str, dict[str, object]] = {
    "none": {},
    "gateway": {"front": {"kind": "gateway", **NAMED}},
    "large": {"front": {"kind": "gateway", "size": "large", "waf": True, **NAMED}},
    "managed": {
        "front": {
            "kind": "gateway",
            "tasks_min": 2,
            "tasks_max": 4,
            "state": "managed",
            "database_min_acu": 1,
            **NAMED,
        }
    },
}
SAME = {
    "fargate-vcpu": "vCPUs (Fargate)",
    "fargate-memory": "memory (Fargate)",
    "alb": "load balancer",
    "nat": "NAT gateway",
    "aurora-acu": "database at rest",
    "valkey-serverless-data": "counters (Valkey)",
    "waf-acl": "web ACL",
    "waf-rule": "rules of the web ACL",
}
"""Parts, and how the price of a template names them (the ends of names)."""
ALIKE = {"web ACL": "rules of the web ACL"}


def made(price: StackPrice, title: str) -> float:
    """How much of a part the templates make."""
    named = (item for item in price.items if item.name.endswith(title))
    return sum(item.quantity for item in named if item.name != ALIKE.get(title))


@pytest.mark.parametrize("name", FRONTS)
def test_the_bill_and_the_templates_count_the_same(name: str, tmp_path: Path) -> None:
    manifest = Manifest.model_validate(
        {"name": "shop", "model": HUB, "target": SAGEMAKER, **FRONTS[name]}
    )
    gateway = gateway_files(manifest, "us-east-1")
    emitted = emit(manifest, Observed("us-east-1"), tmp_path, gateway)
    stacks = [(each.template, each.parameters) for each in (emitted.base, emitted.main)]
    price = price_of_all(stacks, "us-east-1", CATALOGUE)
    planned = {part: quantity for _, part, quantity in front(manifest).standing()}
    for part, title in SAME.items():
        assert made(price, title) == pytest.approx(planned.get(part, 0)), part


def test_a_network_without_a_way_out_pays_for_its_endpoints() -> None:
    assert len(INTERFACES) == ENDPOINT_SERVICES
    target = SAGEMAKER | PRIVATE
    manifest = Manifest.model_validate({"name": "shop", "model": HUB, "target": target})
    found = front(manifest)
    assert found.endpoints == 2 * len(INTERFACES)
    assert found.nat_gateways == 0


def test_a_function_is_billed_for_the_time_that_answers_take(plan: Plan) -> None:
    """A REST API with a function: nothing stands, every second of an answer costs."""
    short, long = (
        plan(
            target=SAGEMAKER,
            front={"kind": "rest"},
            load={"requests_per_minute": 30, "prompt_tokens": 200, "output_tokens": tokens},
        ).best
        for tokens in (50, 500)
    )
    assert short
    assert long
    times = [
        next(item for item in best.bill.items if item.name == "function time (Lambda)").quantity
        for best in (short, long)
    ]
    assert times[1] > 5 * times[0]
    assert not any(item.name == "load balancer" for item in short.bill.items)


def test_clients_of_aws_itself_pay_for_no_gateway(plan: Plan) -> None:
    best = plan(target=SAGEMAKER).best
    assert best
    names = {item.name for item in best.bill.items}
    assert names == {"ml.g5.xlarge", "weights in S3", "endpoint data"}
