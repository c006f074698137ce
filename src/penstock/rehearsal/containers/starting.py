"""A task comes up: its containers' processes, their logs, their place behind target groups."""

import itertools
from typing import Any

from penstock.rehearsal.cloud import Cloud, unique
from penstock.rehearsal.containers.environment import (
    LISTEN,
    CannotStart,
    command,
    environment,
)
from penstock.rehearsal.containers.records import Behind, Container, Service, Task, Yard
from penstock.rehearsal.leashed import Leashed
from penstock.targets.local.ports import free_port


class Starter:
    """Starts and stops tasks."""

    def __init__(self, cloud: Cloud, yard: Yard) -> None:
        self._cloud, self._yard = cloud, yard
        self._numbers = itertools.count(10)

    def start(self, service: Service, definition: str) -> Task:
        """Start a task of a service; raises CannotStart."""
        told = self._cloud.client("ecs").describe_task_definition(taskDefinition=definition)
        spec = told["taskDefinition"]
        short = unique(32)
        cluster = service.cluster.rpartition("/")[2]
        number = next(self._numbers)
        task = Task(
            self._cloud.arn("ecs", f"task/{cluster}/{short}"),
            spec,
            f"10.0.{number // 250}.{number % 250 + 1}",
        )
        for container in spec["containerDefinitions"]:
            task.containers.append(self._start(container, spec, short))
        self._register(service, task)
        return task

    def stop(self, task: Task, reason: str) -> None:
        """End a task's processes and take it from behind its target groups."""
        for group in list(self._yard.behind.values()):
            group.pop(task.ip, None)
        for each in task.containers:
            if each.process is not None:
                each.process.stop()
            if each.log is not None:
                self._cloud.lines.end(each.log)
        task.status, task.reason = "STOPPED", task.reason or reason

    def _start(self, container: dict[str, Any], spec: dict[str, Any], task: str) -> Container:
        name, essential = container["name"], container.get("essential", True)
        self._pull(container["image"])
        argv = command(self._cloud, container)
        env = environment(self._cloud, container, spec.get("taskRoleArn", ""))
        if argv is None:
            return Container(name, essential, None)
        port, log = free_port(), self._cloud.folder / "tasks" / task / f"{name}.log"
        process = Leashed(argv, {**env, LISTEN: f"127.0.0.1:{port}"}, log)
        options = container.get("logConfiguration", {}).get("options", {})
        if group := options.get("awslogs-group"):
            prefix = options.get("awslogs-stream-prefix", "ecs")
            self._cloud.lines.follow(log, group, f"{prefix}/{name}/{task}")
        return Container(name, essential, process, log, port)

    def _pull(self, image: str) -> None:
        """Look for an image of the account's own registry; others are taken to be there."""
        registry = f"{self._cloud.account}.dkr.ecr.{self._cloud.region}.amazonaws.com/"
        if not image.startswith(registry):
            return
        repository, _, tag = image.removeprefix(registry).partition(":")
        ecr = self._cloud.client("ecr")
        try:
            ecr.describe_images(
                repositoryName=repository, imageIds=[{"imageTag": tag or "latest"}]
            )
        except ecr.exceptions.ClientError as error:
            raise CannotStart(f"CannotPullContainerError: {image}: not found: {error}") from error

    def _register(self, service: Service, task: Task) -> None:
        by_name = {each.name: each for each in task.containers}
        for each in service.spec.get("loadBalancers", ()):
            port = by_name[each["containerName"]].port
            group = self._yard.behind.setdefault(each["targetGroupArn"], {})
            group[task.ip] = Behind(task.ip, each["containerPort"], port, task)
