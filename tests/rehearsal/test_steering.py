"""What steers services stands other threads, and its own defects, which it tells."""

import logging
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.rehearsal.account import wait_for

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.containers import steering
from penstock.rehearsal.containers.records import (
    Behind,
    Container,
    Deployment,
    Service,
    Task,
    Yard,
)
from penstock.rehearsal.containers.starting import Starter
from penstock.rehearsal.containers.steering import Steering


class Balancers:
    """Load balancers that, while they are asked, get another target group each time."""

    def __init__(self, yard: Yard) -> None:
        self._yard, self.asked = yard, 0

    def describe_target_groups(self, TargetGroupArns: list[str]) -> dict[str, Any]:
        self.asked += 1
        self._yard.behind[f"another-{self.asked}"] = {}
        return {"TargetGroups": [{"TargetGroupArn": each} for each in TargetGroupArns]}


def task_of(ip: str) -> Task:
    return Task("arn:task", {}, ip)


def steered(yard: Yard, **cloud: Any) -> Steering:
    return Steering(cast("Cloud", SimpleNamespace(folder=None, **cloud)), yard)


def test_target_groups_may_come_while_they_are_looked_at() -> None:
    task = task_of("10.0.0.1")
    yard = Yard(behind={arn: {task.ip: Behind(task.ip, 80, 9, task)} for arn in "abc"})
    balancers = Balancers(yard)
    found = steered(yard, client=lambda _: balancers)._behind(task)
    assert found == [(9, "/", "200")] * 3
    assert balancers.asked == 3
    assert len(yard.behind) == 6


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "DEFECT_S", 0.01)


@pytest.mark.usefixtures("impatient")
def test_a_lasting_defect_is_told_once_and_steering_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = Service("web", "arn:web", "main", {}, desired=1)
    looks: list[int] = []

    class Defective(Steering):
        def _look(self, service: Service) -> None:
            looks.append(1)
            raise KeyError("lost")

    threads: list[Any] = []

    def in_background(work: Any, name: str) -> None:
        thread = threading.Thread(target=work, name=name)
        threads.append(thread)
        thread.start()

    clock = SimpleNamespace(scale=60)
    cloud = SimpleNamespace(folder=None, in_background=in_background, clock=clock)
    with caplog.at_level(logging.CRITICAL, logger="penstock.rehearsal"):
        Defective(cast("Cloud", cloud), Yard()).begin(service)
        wait_for(lambda: len(looks) > 3)
        service.deployments = [Deployment("web:1", tasks=cast("Any", [None]))]  # cannot be ended
        service.status = "DRAINING"
        threads[0].join(60)
    assert service.status == "INACTIVE"
    said = [each["message"] for each in service.events]
    assert said.count("(service web) the stand-in failed to look at it: KeyError('lost')") == 1
    assert "the stand-in failed to end its tasks" in said[0]


def test_what_is_only_marked_as_running_is_told() -> None:
    service = Service("ui", "arn:ui", "main", {}, desired=1)
    service.deployments = [Deployment("ui:1")]
    task = Task("arn:task/one", {}, "10.0.0.2", [Container("open-webui", True, None)])

    class OfOneTask(Starter):
        def start(self, service: Service, definition: str) -> Task:
            return task

    cloud = cast("Cloud", SimpleNamespace(faults=SimpleNamespace(take=lambda *_, **__: None)))
    made = Steering(cloud, Yard(), OfOneTask(cloud, Yard()))
    made._look(service)
    said = [each["message"] for each in service.events]
    assert any("only marks their containers as running: open-webui." in each for each in said)
    assert task.health == "HEALTHY"
