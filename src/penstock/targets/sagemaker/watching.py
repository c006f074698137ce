"""What is watched of an endpoint: alarms and a dashboard."""

from collections.abc import Iterator

from penstock.targets.aws.alarms import Watch
from penstock.targets.aws.dashboard import Graph
from penstock.targets.sagemaker.deployment import Deployment
from penstock.targets.sagemaker.hosting import VARIANT
from penstock.targets.sagemaker.scaling import target_value

INVOCATIONS, MACHINES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
NEAR_TIMEOUT_US = 55_000_000
"""A request that takes this long is about to be cut off: SageMaker waits 60 s for an answer."""


def rollback_watch(deployment: Deployment) -> Watch:
    """Errors of the container: what undoes a roll-out."""
    return Watch(
        "ErrorsAlarm",
        "The model answers with errors",
        INVOCATIONS,
        "Invocation5XXErrors",
        _variant(deployment),
        "Sum",
        threshold=5,
        minutes=2,
    )


def watches(deployment: Deployment) -> Iterator[Watch]:
    """Everything else that somebody should be told of."""
    if deployment.mode == "async":
        place = {"EndpointName": deployment.stack}
        about = "Requests wait longer than the machines can keep up with"
        most = target_value(deployment) * deployment.manifest.scale.max * 4
        yield Watch(
            "QueueAlarm", about, INVOCATIONS, "ApproximateBacklogSize", place, "Maximum", most, 5
        )
    else:
        about = "The slowest answers take nearly the 60 s that SageMaker waits"
        yield Watch(
            "LatencyAlarm",
            about,
            INVOCATIONS,
            "ModelLatency",
            _variant(deployment),
            "p95",
            NEAR_TIMEOUT_US,
        )
        about = "Twice as many requests are in flight as the policy allows for, at most copies"
        metric, place = _in_flight(deployment)
        most = 2 * target_value(deployment)
        yield Watch("QueueAlarm", about, INVOCATIONS, metric, place, "Maximum", most, 5)
    if deployment.machine.gpus:
        about = "The GPUs' memory is all but full: the next long prompt may end the container"
        yield Watch(
            "GpuMemoryAlarm",
            about,
            MACHINES,
            "GPUMemoryUtilization",
            _variant(deployment),
            "Maximum",
            threshold=98 * deployment.machine.gpus,
        )


def graphs(deployment: Deployment) -> Iterator[Graph]:
    """The dashboard's pictures."""
    place = _variant(deployment)
    counts = {"Invocations": "Sum", "Invocation4XXErrors": "Sum", "Invocation5XXErrors": "Sum"}
    yield Graph("Requests and errors", INVOCATIONS, place, counts)
    times = {"ModelLatency": "p95", "OverheadLatency": "p95", "FirstChunkLatency": "p95"}
    yield Graph("Latency, p95, microseconds", INVOCATIONS, place, times)
    if deployment.mode == "async":
        endpoint = {"EndpointName": deployment.stack}
        backlog = {"ApproximateBacklogSize": "Maximum", "HasBacklogWithoutCapacity": "Maximum"}
        yield Graph("Backlog", INVOCATIONS, endpoint, backlog)
    else:
        metric, where = _in_flight(deployment)
        yield Graph("Requests in flight", INVOCATIONS, where, {metric: "Maximum"})
    if deployment.machine.gpus:
        used = {"GPUUtilization": "Average", "GPUMemoryUtilization": "Maximum"}
        yield Graph("GPU, per cent", MACHINES, place, used)
    rest = {
        "CPUUtilization": "Average",
        "MemoryUtilization": "Maximum",
        "DiskUtilization": "Maximum",
    }
    yield Graph("Machine, per cent", MACHINES, place, rest)


def _variant(deployment: Deployment) -> dict[str, str]:
    return {"EndpointName": deployment.stack, "VariantName": VARIANT}


def _in_flight(deployment: Deployment) -> tuple[str, dict[str, str]]:
    if deployment.mode == "components":
        place = {"InferenceComponentName": deployment.base_component}
        return "ConcurrentRequestsPerCopy", place
    return "ConcurrentRequestsPerModel", _variant(deployment)
