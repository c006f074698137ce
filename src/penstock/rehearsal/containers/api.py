"""ECS's services and tasks, which really run; clusters and task definitions are moto's."""

from collections.abc import Iterator
from typing import Any

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.containers.environment import command
from penstock.rehearsal.containers.records import Deployment, Service, Task, Yard
from penstock.rehearsal.containers.steering import Steering
from penstock.rehearsal.refusals import AwsError

Parameters = dict[str, Any]
CHANGEABLE = (
    "taskDefinition", "deploymentConfiguration", "networkConfiguration", "loadBalancers",
    "healthCheckGracePeriodSeconds", "enableExecuteCommand", "capacityProviderStrategy",
    "platformVersion", "propagateTags", "enableECSManagedTags", "serviceRegistries",
)  # fmt: skip


class Services:
    """The operations."""

    def __init__(self, cloud: Cloud, yard: Yard, steering: Steering) -> None:
        self._cloud, self._yard, self._steering = cloud, yard, steering

    def create_service(self, given: Parameters) -> Parameters:
        """Begin to run a service."""
        cluster = self._cluster(given.get("cluster", "default"))
        name = given["serviceName"]
        arn = self._cloud.arn("ecs", f"service/{cluster.rpartition('/')[2]}/{name}")
        if arn in self._yard.services and self._yard.services[arn].status != "INACTIVE":
            raise AwsError("InvalidParameterException", "Creation of service was not idempotent.")
        self._require_balancers(given)
        service = Service(name, arn, cluster, given, given.get("desiredCount", 1))
        service.deployments = [Deployment(self._definition(given["taskDefinition"]))]
        self._yard.services[arn] = service
        self._steering.begin(service)
        return {"service": self._told(service)}

    def _require_balancers(self, given: Parameters) -> None:
        """Refuse a group of targets that no listener and no rule leads to, as ECS does."""
        elb = self._cloud.client("elbv2")
        for each in given.get("loadBalancers", ()):
            group = each["targetGroupArn"]
            (told,) = elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"]
            if not told["LoadBalancerArns"]:
                raise AwsError(
                    "InvalidParameterException",
                    f"The target group with targetGroupArn {group} does not have an associated "
                    "load balancer.",
                )

    def update_service(self, given: Parameters) -> Parameters:
        """Begin to change how many tasks run, or which."""
        service = self._service(given.get("cluster", "default"), given["service"])
        service.spec |= {name: given[name] for name in CHANGEABLE if name in given}
        if "desiredCount" in given:
            service.desired = given["desiredCount"]
        now = service.deployments[0].definition
        wanted = self._definition(given["taskDefinition"]) if "taskDefinition" in given else now
        if wanted != now or given.get("forceNewDeployment"):
            service.deployments.insert(0, Deployment(wanted))
        return {"service": self._told(service)}

    def delete_service(self, given: Parameters) -> Parameters:
        """Begin to end a service; one with tasks needs `force` or a desired count of 0."""
        service = self._service(given.get("cluster", "default"), given["service"])
        if service.desired and not given.get("force"):
            raise AwsError(
                "InvalidParameterException",
                "The service cannot be stopped while it is scaled above 0.",
            )
        service.status = "DRAINING"
        return {"service": self._told(service)}

    def describe_services(self, given: Parameters) -> Parameters:
        """Return services as they are now."""
        found, failures = [], []
        for name in given["services"]:
            try:
                found.append(self._told(self._service(given.get("cluster", "default"), name)))
            except AwsError:
                failures.append({"arn": name, "reason": "MISSING"})
        return {"services": found, "failures": failures}

    def list_services(self, given: Parameters) -> Parameters:
        """Return the ARNs of a cluster's services."""
        cluster = self._cluster(given.get("cluster", "default"))
        return {
            "serviceArns": [
                each.arn
                for each in list(self._yard.services.values())
                if each.cluster == cluster and each.status != "INACTIVE"
            ]
        }

    def list_tasks(self, given: Parameters) -> Parameters:
        """Return the ARNs of tasks, those that run unless stopped ones are asked for."""
        cluster = self._cluster(given.get("cluster", "default"))
        wanted = given.get("desiredStatus", "RUNNING")
        name = given.get("serviceName", "").rpartition("/")[2]
        return {
            "taskArns": [
                task.arn
                for service, task in self._tasks()
                if service.cluster == cluster
                and name in {"", service.name}
                and (task.status == "STOPPED") == (wanted == "STOPPED")
            ]
        }

    def describe_tasks(self, given: Parameters) -> Parameters:
        """Return tasks as they are now; a container that is not ours says that it is not run."""
        wanted = {each.rpartition("/")[2] for each in given["tasks"]}
        return {
            "tasks": [
                self._told_task(service, task)
                for service, task in self._tasks()
                if task.arn.rpartition("/")[2] in wanted
            ],
            "failures": [],
        }

    def stop_task(self, given: Parameters) -> Parameters:
        """End a task's processes; its service starts another one."""
        for service, task in self._tasks():
            if task.arn.rpartition("/")[2] == given["task"].rpartition("/")[2]:
                task.reason = given.get("reason", "Task stopped by user")
                for each in task.containers:
                    if each.process is not None:
                        each.process.stop()
                return {"task": self._told_task(service, task)}
        raise AwsError("InvalidParameterException", "The referenced task was not found.")

    def _tasks(self) -> Iterator[tuple[Service, Task]]:
        for service in list(self._yard.services.values()):
            for task in (*service.tasks, *service.stopped):
                yield service, task

    def _told_task(self, service: Service, task: Task) -> Parameters:
        return _told_task(self._cloud, service, task)

    def _told(self, service: Service) -> Parameters:
        keys = ("loadBalancers", "launchType", "platformVersion", "networkConfiguration")
        more = ("deploymentConfiguration", "healthCheckGracePeriodSeconds", "schedulingStrategy")
        return {
            **{key: service.spec[key] for key in (*keys, *more) if key in service.spec},
            "serviceArn": service.arn,
            "serviceName": service.name,
            "clusterArn": service.cluster,
            "status": service.status,
            "desiredCount": service.desired,
            "runningCount": len(service.tasks),
            "pendingCount": 0,
            "taskDefinition": service.deployments[0].definition,
            "deployments": [
                _told_deployment(service, index, each)
                for index, each in enumerate(service.deployments)
            ],
            "events": list(service.events),
            "createdAt": service.created,
        }

    def _service(self, cluster: str, name: str) -> Service:
        short = name.rpartition("/")[2]
        arn = self._cloud.arn(
            "ecs", f"service/{self._cluster(cluster).rpartition('/')[2]}/{short}"
        )
        if arn not in self._yard.services:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        return self._yard.services[arn]

    def _cluster(self, name: str) -> str:
        found = self._cloud.client("ecs").describe_clusters(clusters=[name])["clusters"]
        if not found or found[0]["status"] == "INACTIVE":
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return str(found[0]["clusterArn"])

    def _definition(self, name: str) -> str:
        told = self._cloud.client("ecs").describe_task_definition(taskDefinition=name)
        return str(told["taskDefinition"]["taskDefinitionArn"])


def _told_deployment(service: Service, index: int, deployment: Deployment) -> Parameters:
    return {
        "id": deployment.id,
        "status": "PRIMARY" if index == 0 else "ACTIVE",
        "taskDefinition": deployment.definition,
        "desiredCount": service.desired if index == 0 else 0,
        "runningCount": len(deployment.tasks),
        "failedTasks": deployment.failed,
        "rolloutState": deployment.state,
        "rolloutStateReason": deployment.reason,
        "createdAt": deployment.created,
    }


def _told_task(cloud: Cloud, service: Service, task: Task) -> Parameters:
    definitions = {each["name"]: each for each in task.definition["containerDefinitions"]}
    containers = []
    for each in task.containers:
        told: Parameters = {"name": each.name, "lastStatus": task.status}
        if each.process is not None and each.process.code is not None:
            told |= {"exitCode": each.process.code, "lastStatus": "STOPPED"}
        if command(cloud, definitions[each.name]) is None:
            told["reason"] = "The stand-in does not run this image: it is only marked as running."
        containers.append(told)
    return {
        "taskArn": task.arn,
        "clusterArn": service.cluster,
        "taskDefinitionArn": task.definition["taskDefinitionArn"],
        "group": f"service:{service.name}",
        "lastStatus": task.status,
        "desiredStatus": "STOPPED" if task.status == "STOPPED" else "RUNNING",
        "healthStatus": task.health,
        "createdAt": task.created,
        "containers": containers,
        **({"stoppedReason": task.reason} if task.reason else {}),
        **({"stoppedAt": task.stopped} if task.stopped else {}),
    }
