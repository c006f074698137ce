"""What ECS remembers: services, their deployments and tasks, and who is behind target groups."""

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from penstock.rehearsal.cloud import now, unique
from penstock.rehearsal.leashed import Leashed

Spec = dict[str, Any]


@dataclass(slots=True)
class Container:
    """One container of a task; without a process it is one that is only marked as running."""

    name: str
    essential: bool
    process: Leashed | None
    log: Path | None = None
    port: int = 0


@dataclass(slots=True)
class Task:
    """A running copy of a task definition."""

    arn: str
    definition: Spec
    ip: str
    containers: list[Container] = field(default_factory=list)
    status: str = "RUNNING"
    health: str = "UNKNOWN"
    reason: str = ""
    begun_s: float = field(default_factory=time.monotonic)
    created: datetime = field(default_factory=now)
    stopped: datetime | None = None
    misses: int = 0

    @property
    def ended(self) -> Container | None:
        """The essential container that ended, which ends the task."""
        for each in self.containers:
            if each.essential and each.process is not None and not each.process.alive():
                return each
        return None


@dataclass(slots=True)
class Deployment:
    """A service's way to one task definition."""

    definition: str
    tasks: list[Task] = field(default_factory=list)
    failed: int = 0
    state: str = "IN_PROGRESS"
    reason: str = "ECS deployment in progress."
    id: str = field(default_factory=lambda: f"ecs-svc/{int(unique(12), 16)}")
    created: datetime = field(default_factory=now)


@dataclass(slots=True)
class Service:
    """A service; `deployments` has the newest first, `spec` what it was asked for."""

    name: str
    arn: str
    cluster: str
    spec: Spec
    desired: int
    status: str = "ACTIVE"
    deployments: list[Deployment] = field(default_factory=list)
    events: deque[Spec] = field(default_factory=lambda: deque(maxlen=100))
    stopped: deque[Task] = field(default_factory=lambda: deque(maxlen=20))
    good: str = ""
    created: datetime = field(default_factory=now)

    @property
    def tasks(self) -> list[Task]:
        """All tasks of all deployments."""
        return [task for each in self.deployments for task in each.tasks]

    def tell(self, text: str) -> None:
        """Add an event."""
        said = {"id": unique(32), "createdAt": now(), "message": f"(service {self.name}) {text}"}
        self.events.appendleft(said)


@dataclass(frozen=True, slots=True)
class Behind:
    """Who is behind a target group: a task's address and where that is on this machine.

    `real_port` is 0 for a container that is only marked as running.
    """

    ip: str
    port: int
    real_port: int
    task: Task


@dataclass(slots=True)
class Yard:
    """All services by ARN, and what stands behind each target group."""

    services: dict[str, Service] = field(default_factory=dict)
    behind: dict[str, dict[str, Behind]] = field(default_factory=dict)
