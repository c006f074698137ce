"""A service of ECS really runs the gateway, behind a load balancer that finds it healthy."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.gateway.gateway_process import ALICE, settings_for
from tests.rehearsal.account import Account, failures, wait_for
from tests.rehearsal.test_kinds import BALANCED
from tests.rehearsal.writing import Tree, att, of, ref

from penstock.rehearsal.engines import EngineProcess

MODEL = "penstock-tiny"
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
SIGNED_IN = {"Authorization": f"Bearer {ALICE}"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    running = EngineProcess(tmp_path_factory.mktemp("engine") / "engine.log")
    assert running.wait_ready()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def settings(engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gateway") / "settings.json"
    path.write_bytes(msgspec.json.encode(settings_for({"one": engine.url}, MODEL)))
    return path


def fronted(command: list[str], **service: Any) -> Tree:
    """A load balancer and a service with one container of that command."""
    names = ("Vpc", "SubnetA", "SubnetB", "Group", "Role", "Cluster", "Balancer", "Targets")
    stack = deepcopy({name: BALANCED[name] for name in (*names, "Task", "Service")})
    stack["Listener"] = of(
        "ElasticLoadBalancingV2::Listener", LoadBalancerArn=ref("Balancer"), Port=80,
        Protocol="HTTP", DefaultActions=[{"Type": "forward", "TargetGroupArn": ref("Targets")}],
    )  # fmt: skip
    stack["Secret"] = of("SecretsManager::Secret", SecretString='{"hub": "of-the-hub"}')
    stack["Logs"] = of("Logs::LogGroup")
    container = stack["Task"]["Properties"]["ContainerDefinitions"][0]
    container |= {
        "Command": command,
        "Secrets": [{"Name": "HUB", "ValueFrom": {"Fn::Sub": "${Secret}:hub::"}}],
        "LogConfiguration": {
            "LogDriver": "awslogs",
            "Options": {
                "awslogs-group": ref("Logs"), "awslogs-region": ref("AWS::Region"),
                "awslogs-stream-prefix": "gateway",
            },
        },
    }  # fmt: skip
    stack["Service"]["Properties"] |= service
    outputs = {
        "Host": {"Value": att("Balancer", "DNSName")},
        "Service": {"Value": ref("Service")},
        "Cluster": {"Value": ref("Cluster")},
        "Targets": {"Value": ref("Targets")},
        "Logs": {"Value": ref("Logs")},
    }
    return {"Resources": stack, "Outputs": outputs}


def service_of(aws: Account, told: dict[str, str]) -> Any:
    found = aws.client("ecs").describe_services(
        cluster=told["Cluster"], services=[told["Service"]]
    )
    return found["services"][0]


def test_a_gateway_answers_behind_the_load_balancer(aws: Account, settings: Path) -> None:
    before = aws.order("inventory", method="GET")
    template = fronted(["--settings", str(settings)])
    stack = aws.deploy("front", template)
    assert failures(aws, stack) == []
    told = aws.outputs(stack)
    health = aws.client("elbv2").describe_target_health(TargetGroupArn=told["Targets"])
    states = [each["TargetHealth"]["State"] for each in health["TargetHealthDescriptions"]]
    assert states == ["healthy"]

    base = aws.order("addresses", method="GET")[told["Host"]]
    answer = httpx.post(f"{base}/v1/chat/completions", json=ASK, headers=SIGNED_IN, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]
    named = httpx.get(
        f"{aws.url}/v1/models", headers={**SIGNED_IN, "Host": told["Host"]}, timeout=60
    )
    assert MODEL in {each["id"] for each in named.json()["data"]}
    assert httpx.get(f"{base}/v1/models", timeout=60).status_code == 401

    with httpx.stream(
        "POST", f"{base}/v1/chat/completions", json={**ASK, "stream": True}, headers=SIGNED_IN,
        timeout=60,
    ) as streamed:  # fmt: skip
        lines = [line for line in streamed.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"

    tasks = aws.client("ecs").list_tasks(cluster=told["Cluster"])["taskArns"]
    assert len(tasks) == 1

    def is_written() -> bool:
        events = aws.client("logs").filter_log_events(logGroupName=told["Logs"])["events"]
        return any("listening on" in each["message"] for each in events)

    wait_for(is_written)

    template["Resources"]["Service"]["Properties"]["DesiredCount"] = 2
    assert aws.deploy("front", template)["StackStatus"] == "UPDATE_COMPLETE"
    wait_for(lambda: service_of(aws, told)["runningCount"] == 2)
    aws.client("ecs").stop_task(cluster=told["Cluster"], task=tasks[0])
    gone = wait_for(
        lambda: tasks[0] not in aws.client("ecs").list_tasks(cluster=told["Cluster"])["taskArns"]
    )
    assert gone
    wait_for(lambda: service_of(aws, told)["runningCount"] == 2)

    assert aws.destroy("front")["StackStatus"] == "DELETE_COMPLETE"
    assert aws.order("inventory", method="GET") == before


def test_a_service_that_does_not_come_up_is_broken_off(aws: Account, tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere.json")
    breaker = {"DeploymentCircuitBreaker": {"Enable": True, "Rollback": True}}
    template = fronted(["--settings", missing], DeploymentConfiguration=breaker)
    stack = aws.deploy("broken", template, DisableRollback=True)
    assert stack["StackStatus"] == "CREATE_FAILED"
    why = dict(failures(aws, stack))["Service"]
    assert "Circuit Breaker was triggered" in why
    logs = next(
        each["PhysicalResourceId"]
        for each in aws.client("cloudformation").describe_stack_resources(StackName="broken")[
            "StackResources"
        ]
        if each["LogicalResourceId"] == "Logs"
    )
    events = aws.client("logs").filter_log_events(logGroupName=logs)["events"]
    assert any("nowhere.json" in each["message"] for each in events)
    assert aws.destroy("broken")["StackStatus"] == "DELETE_COMPLETE"


def test_a_new_task_that_crashes_leaves_the_old_one(aws: Account, settings: Path) -> None:
    breaker = {"DeploymentCircuitBreaker": {"Enable": True, "Rollback": True}}
    template = fronted(["--settings", str(settings)], DeploymentConfiguration=breaker)
    stack = aws.deploy("kept", template)
    told = aws.outputs(stack)
    old = service_of(aws, told)["taskDefinition"]
    name = told["Service"].rpartition("/")[2]
    aws.order("faults", {"kind": "crash", "name": name, "times": 3})
    container = template["Resources"]["Task"]["Properties"]["ContainerDefinitions"][0]
    container["Environment"] = [{"Name": "A", "Value": "another"}]
    changed = aws.deploy("kept", template)
    assert changed["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "Circuit Breaker" in dict(failures(aws, changed))["Service"]
    wait_for(lambda: service_of(aws, told)["deployments"][0]["rolloutState"] == "COMPLETED")
    assert service_of(aws, told)["taskDefinition"] == old
    base = aws.order("addresses", method="GET")[told["Host"]]
    assert httpx.get(f"{base}/health", timeout=60).status_code == 200
    assert aws.destroy("kept")["StackStatus"] == "DELETE_COMPLETE"


def test_an_image_that_is_not_there_cannot_be_pulled(aws: Account) -> None:
    breaker = {"DeploymentCircuitBreaker": {"Enable": True, "Rollback": False}}
    template = fronted(["--settings", "x"], DeploymentConfiguration=breaker)
    image = f"{aws.said['account']}.dkr.ecr.{aws.region}.amazonaws.com/nothing:1"
    container = template["Resources"]["Task"]["Properties"]["ContainerDefinitions"][0]
    container["Image"] = image
    stack = aws.deploy("unpulled", template, DisableRollback=True)
    assert "Service" in dict(failures(aws, stack))
    services = aws.client("ecs").describe_services
    resources = aws.client("cloudformation").describe_stack_resources(StackName="unpulled")
    ids = {e["LogicalResourceId"]: e["PhysicalResourceId"] for e in resources["StackResources"]}
    told = services(cluster=ids["Cluster"], services=[ids["Service"]])["services"][0]
    assert any("CannotPullContainerError" in each["message"] for each in told["events"])
    assert aws.destroy("unpulled")["StackStatus"] == "DELETE_COMPLETE"


def test_a_service_that_no_load_balancer_leads_to_is_refused(aws: Account) -> None:
    """As in AWS, where such a stack fails or not by the order in which things are made."""
    template = fronted(["--help"])
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    template["Resources"]["Listener"]["Properties"]["DefaultActions"] = [answer]
    stack = aws.deploy("unled", template)
    reasons = [reason for _, reason in failures(aws, stack)]
    assert any("does not have an associated load balancer" in reason for reason in reasons)
    aws.destroy("unled")
