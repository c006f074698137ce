"""A service is steered to what is wanted: tasks start, are found healthy, replace old ones.

One thread for each service. A process takes as long as it takes, however fast AWS's clock runs:
a task that is not healthy yet is given up when its process has ended, or after `PATIENCE_S` of
the wall. The circuit breaker counts such tasks.
"""

import http.client
import logging
import time
from collections.abc import Callable

from penstock.rehearsal.cloud import Cloud, now
from penstock.rehearsal.containers.environment import CannotStart
from penstock.rehearsal.containers.records import Deployment, Service, Task, Yard
from penstock.rehearsal.containers.starting import Starter

PATIENCE_S, CHECK_S, MISSES = 60.0, 5.0, 3
BREAKER_LEAST, BREAKER_MOST = 3, 200
POLL_S = 3.0
"""How often a service is looked at, in AWS's seconds; `LOOK_S` of the wall at least."""
LOOK_S = 0.05
MARKED = "the stand-in does not run these images, and only marks their containers as running"
DEFECT_S = 1.0
"""How long a service that the stand-in failed to look at is left alone, of the wall."""

log = logging.getLogger("penstock.rehearsal")


class Steering:
    """Keeps services as they are wanted."""

    def __init__(self, cloud: Cloud, yard: Yard, starter: Starter | None = None) -> None:
        self._cloud, self._yard = cloud, yard
        self._starter = starter or Starter(cloud, yard)

    def begin(self, service: Service) -> None:
        """Steer a service until it is deleted."""
        self._cloud.in_background(lambda: self._run(service), f"service {service.name}")

    def stop(self) -> None:
        """End every task at once."""
        for service in list(self._yard.services.values()):
            service.status = "INACTIVE"
            for task in service.tasks:
                self._starter.stop(task, "the stand-in ends")

    def _run(self, service: Service) -> None:
        said = ""
        while service.status == "ACTIVE":
            pause_s = max(LOOK_S, POLL_S / self._cloud.clock.scale)
            defect = self._guarded(service, lambda: self._look(service))
            if defect:
                pause_s = DEFECT_S
                if defect != said:  # once, not once a second
                    service.tell(f"the stand-in failed to look at it: {defect}")
            said = defect
            time.sleep(pause_s)
        if defect := self._guarded(service, lambda: self._drain(service)):
            service.tell(f"the stand-in failed to end its tasks: {defect}")
        if service.status == "DRAINING":
            service.status = "INACTIVE"

    def _guarded(self, service: Service, work: Callable[[], None]) -> str:
        """Do something with a service; returns the defect that it met, which must not end it.

        This is the only thread that steers it: without it, nothing would ever settle.
        """
        try:
            work()
        except Exception as defect:
            log.exception("%s could not be looked at", service.name)
            return repr(defect)
        return ""

    def _drain(self, service: Service) -> None:
        for each in service.deployments:
            self._drop(service, each.tasks, "Scaling activity initiated by deployment")

    def _look(self, service: Service) -> None:
        primary = service.deployments[0]
        for each in service.deployments:
            self._bury(service, each)
        if primary.state != "FAILED":
            self._fill(service, primary)
        for task in service.tasks:
            self._check(service, task)
        healthy = [task for task in primary.tasks if task.health == "HEALTHY"]
        if primary.state == "IN_PROGRESS" and len(healthy) >= service.desired:
            self._complete(service, primary)
        elif primary.state == "IN_PROGRESS" and self._is_broken(service, primary):
            self._fail(service, primary)

    def _fill(self, service: Service, primary: Deployment) -> None:
        surplus = len(primary.tasks) - service.desired
        if surplus > 0:
            self._drop(service, primary.tasks[-surplus:], "Scaling activity initiated by service")
            primary.tasks = primary.tasks[: service.desired]
        while len(primary.tasks) < service.desired and not self._is_broken(service, primary):
            try:
                task = self._starter.start(service, primary.definition)
            except CannotStart as error:
                primary.failed += 1
                service.tell(f"was unable to place a task. {error}")
                return
            primary.tasks.append(task)
            service.tell(f"has started 1 tasks: (task {task.arn.rpartition('/')[2]}).")
            if marked := [each.name for each in task.containers if each.process is None]:
                service.tell(f"{MARKED}: {', '.join(marked)}.")
            if self._cloud.faults.take("crash", name=service.name):
                self._starter.stop(task, "Essential container in task exited")

    def _bury(self, service: Service, deployment: Deployment) -> None:
        """Take away tasks that ended by themselves."""
        for task in list(deployment.tasks):
            ended = task.ended
            waited_s = time.monotonic() - task.begun_s
            if ended is not None:
                why = f"Essential container in task exited: {ended.name}"
            elif task.misses >= MISSES and (task.health == "UNHEALTHY" or waited_s > PATIENCE_S):
                why = "Task failed ELB health checks"
            else:
                continue
            deployment.tasks.remove(task)
            deployment.failed += deployment.state == "IN_PROGRESS"
            self._drop(service, [task], why)

    def _check(self, service: Service, task: Task) -> None:
        behind = self._behind(task)
        if not behind:
            task.health = "HEALTHY" if task.ended is None else "UNHEALTHY"
            return
        sick = self._cloud.faults.take("health_check", name=service.name)
        good = not sick and all(_answers(port, path, codes) for port, path, codes in behind)
        task.misses = 0 if good else task.misses + 1
        if good:
            if task.health != "HEALTHY":
                service.tell("registered 1 targets")
            task.health = "HEALTHY"
        elif sick or (task.health == "HEALTHY" and task.misses >= MISSES):
            task.health, task.misses = "UNHEALTHY", MISSES

    def _behind(self, task: Task) -> list[tuple[int, str, str]]:
        found = []
        for arn, group in list(self._yard.behind.items()):  # other services add theirs
            if (target := group.get(task.ip)) and target.real_port:
                elb = self._cloud.client("elbv2")
                told = elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
                codes = told.get("Matcher", {}).get("HttpCode", "200")
                found.append((target.real_port, told.get("HealthCheckPath", "/"), codes))
        return found

    def _complete(self, service: Service, primary: Deployment) -> None:
        for old in service.deployments[1:]:
            self._drop(service, old.tasks, "Scaling activity initiated by deployment")
        service.deployments = [primary]
        primary.state, primary.reason = "COMPLETED", f"ECS deployment {primary.id} completed."
        service.good = primary.definition
        service.tell("has reached a steady state.")

    def _is_broken(self, service: Service, primary: Deployment) -> bool:
        wish = service.spec.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker", {})
        if not wish.get("enable"):
            return False
        limit = min(max(BREAKER_LEAST, -(-service.desired // 2)), BREAKER_MOST)
        return primary.failed >= limit

    def _fail(self, service: Service, primary: Deployment) -> None:
        primary.state = "FAILED"
        primary.reason = "ECS deployment circuit breaker: tasks failed to start."
        service.tell(f"(deployment {primary.id}) deployment failed: tasks failed to start.")
        self._drop(service, primary.tasks, "ECS deployment circuit breaker was triggered")
        primary.tasks = []
        breaker = service.spec["deploymentConfiguration"]["deploymentCircuitBreaker"]
        if breaker.get("rollback") and service.good and service.good != primary.definition:
            old = service.deployments[1:]
            back = Deployment(service.good, reason="rolling back", created=now())
            for each in old:
                if each.definition == service.good:
                    back.tasks, each.tasks = each.tasks, []
            service.deployments = [back, primary, *old]
            service.tell(f"rolling back to deployment {back.id}.")

    def _drop(self, service: Service, tasks: list[Task], why: str) -> None:
        for task in list(tasks):
            self._starter.stop(task, why)
            task.stopped = now()
            service.stopped.appendleft(task)


def _answers(port: int, path: str, codes: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CHECK_S)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return any(_within(status, each) for each in codes.split(","))


def _within(status: int, codes: str) -> bool:
    first, _, last = codes.partition("-")
    return int(first) <= status <= int(last or first)
