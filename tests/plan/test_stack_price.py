"""A template's price: every part that stands is counted, what is paid by use is named."""

from pathlib import Path

import pytest

from penstock.catalog.catalogue import load
from penstock.manifest.model import Manifest
from penstock.plan.stack_price import price_of, price_of_all
from penstock.sizing.price import HOURS_PER_MONTH
from penstock.targets.sagemaker.stacks import Observed, emit

CATALOGUE = load()
PARTS = CATALOGUE.parts


def template(**resources: tuple[str, dict[str, object]]) -> dict[str, object]:
    return {
        "Resources": {
            name: {"Type": kind, "Properties": properties}
            for name, (kind, properties) in resources.items()
        }
    }


def month(**resources: tuple[str, dict[str, object]]) -> float:
    return price_of(template(**resources), "us-east-1", CATALOGUE).usd_per_month


def test_a_gateway_on_fargate_behind_a_load_balancer() -> None:
    task: dict[str, object] = {
        "RequiresCompatibilities": ["FARGATE"],
        "Cpu": "1024",
        "Memory": "2048",
    }
    price = price_of(
        template(
            Gateway=("AWS::ECS::Service", {"TaskDefinition": {"Ref": "Task"}, "DesiredCount": 2}),
            Task=("AWS::ECS::TaskDefinition", task),
            Balancer=("AWS::ElasticLoadBalancingV2::LoadBalancer", {}),
        ),
        "us-east-1",
        CATALOGUE,
    )
    fargate = 2 * PARTS["fargate-vcpu"].usd + 4 * PARTS["fargate-memory"].usd
    assert price.usd_per_hour == pytest.approx(fargate + PARTS["alb"].usd)
    assert [rate.name for rate in price.by_use] == ["alb-lcu"]
    assert not price.assumed
    assert not price.unknown


def test_arm_is_cheaper() -> None:
    def of(platform: str) -> float:
        task: dict[str, object] = {
            "RequiresCompatibilities": ["FARGATE"],
            "Cpu": "1024",
            "Memory": "2048",
            "RuntimePlatform": {"CpuArchitecture": platform},
        }
        service: dict[str, object] = {"TaskDefinition": {"Ref": "T"}, "DesiredCount": 1}
        return month(S=("AWS::ECS::Service", service), T=("AWS::ECS::TaskDefinition", task))

    assert of("ARM64") == pytest.approx(0.8 * of("X86_64"), rel=0.01)


def test_a_rest_api_with_a_function_costs_nothing_while_nobody_calls() -> None:
    price = price_of(
        template(Api=("AWS::ApiGateway::RestApi", {}), Front=("AWS::Lambda::Function", {})),
        "us-east-1",
        CATALOGUE,
    )
    assert price.usd_per_month == 0
    assert {rate.name for rate in price.by_use} == {
        "api-gateway-rest",
        "lambda-requests",
        "lambda-compute",
    }


def test_an_interface_endpoint_is_paid_in_every_zone_and_a_gateway_endpoint_is_free() -> None:
    def kind(name: str) -> dict[str, object]:
        return {"VpcEndpointType": name, "SubnetIds": ["subnet-a", "subnet-b"]}

    interface = month(Endpoint=("AWS::EC2::VPCEndpoint", kind("Interface")))
    assert interface == pytest.approx(2 * PARTS["vpc-endpoint"].usd * HOURS_PER_MONTH)
    assert month(Endpoint=("AWS::EC2::VPCEndpoint", kind("Gateway"))) == 0


def test_a_count_behind_a_parameter_is_looked_up_and_one_behind_a_function_is_assumed() -> None:
    def endpoint(subnets: object) -> dict[str, object]:
        properties: dict[str, object] = {"VpcEndpointType": "Interface", "SubnetIds": subnets}
        return template(Endpoint=("AWS::EC2::VPCEndpoint", properties))

    by_parameter = price_of(
        endpoint({"Ref": "SubnetIds"}), "us-east-1", CATALOGUE, {"SubnetIds": "a,b,c"}
    )
    assert by_parameter.items[0].quantity == 3
    hidden = price_of(endpoint({"Fn::Split": [",", "x"]}), "us-east-1", CATALOGUE)
    assert hidden.items[0].quantity == 1
    assert hidden.assumed == ("Endpoint",)


def test_what_is_billed_by_the_month_is_billed_once_a_month() -> None:
    assert month(Secret=("AWS::SecretsManager::Secret", {})) == pytest.approx(0.4)
    assert month(Key=("AWS::KMS::Key", {})) == pytest.approx(1)
    assert month(Alarm=("AWS::CloudWatch::Alarm", {"Period": 60})) == pytest.approx(0.1)
    assert month(Alarm=("AWS::CloudWatch::Alarm", {"Period": 10})) == pytest.approx(0.3)


def test_a_database_at_rest_and_a_web_acl() -> None:
    scaling: dict[str, object] = {"ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5}}
    assert month(Database=("AWS::RDS::DBCluster", scaling)) == pytest.approx(
        0.06 * HOURS_PER_MONTH
    )
    assert month(Acl=("AWS::WAFv2::WebACL", {"Rules": [{}, {}]})) == pytest.approx(7)


def test_a_machine_without_a_price_is_named() -> None:
    variant = {"InstanceType": "ml.nothing.xlarge", "InitialInstanceCount": 1}
    price = price_of(
        template(Config=("AWS::SageMaker::EndpointConfig", {"ProductionVariants": [variant]})),
        "us-east-1",
        CATALOGUE,
    )
    assert price.unknown == ("Config",)
    assert price.items == ()


def test_what_penstock_emits_has_its_machines_in_the_price(tmp_path: Path) -> None:
    manifest = Manifest.model_validate(
        {
            "name": "priced",
            "model": {"id": "Qwen/Qwen2.5-7B-Instruct"},
            "target": {"kind": "sagemaker", "instances": ["g5.xlarge"]},
            "scale": {"min": 2, "max": 4},
        }
    )
    emitted = emit(manifest, Observed("us-east-1"), tmp_path)
    stacks = [(each.template, each.parameters) for each in (emitted.base, emitted.main)]
    price = price_of_all(stacks, "us-east-1", CATALOGUE)
    machine = next(item for item in price.items if item.name == "ml.g5.xlarge")
    assert machine.quantity == 2
    assert price.usd_per_month > 2 * machine.usd * HOURS_PER_MONTH
    assert not price.unknown
    elsewhere = price_of_all(stacks, "eu-west-1", CATALOGUE)
    assert next(i for i in elsewhere.items if i.name == "ml.g5.xlarge").note
