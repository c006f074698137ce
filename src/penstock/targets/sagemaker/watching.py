"""What is watched of an endpoint: alarms and a dashboard.

SageMaker counts requests to a component under the component's name, and an adapter's under the
adapter's own; first chunks and errors in mid-stream it counts by endpoint and variant alone. So
where components serve, errors and latency are looked for at all of them. Which metric has which
dimensions: its developer guide, "Metric name mapping", read in November 2026.
"""

from collections.abc import Iterator

from penstock.targets.aws.alarms import MOST_PLACES, Watch
from penstock.targets.aws.dashboard import Graph
from penstock.targets.sagemaker.deployment import Deployment
from penstock.targets.sagemaker.hosting import VARIANT
from penstock.targets.sagemaker.scaling import target_value

INVOCATIONS, MACHINES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
COPIES = "/aws/sagemaker/InferenceComponents"
FULL = 98
"""Per cent of its memory from which on a GPU is all but full."""
NEAR_TIMEOUT_US = 55_000_000
"""A request that takes this long is about to be cut off: SageMaker waits 60 s for an answer."""


def rollback_watch(deployment: Deployment) -> Watch:
    """Errors of the container: what undoes a roll-out."""
    place, *elsewhere = _places(deployment)
    return Watch(
        "ErrorsAlarm",
        "The model answers with errors",
        INVOCATIONS,
        "Invocation5XXErrors",
        place,
        "Sum",
        threshold=5,
        minutes=2,
        elsewhere=tuple(elsewhere),
    )


def watches(deployment: Deployment) -> Iterator[Watch]:
    """Everything else that somebody should be told of."""
    if deployment.mode == "async":
        place = {"EndpointName": deployment.stack}
        about = "Requests wait longer than the machines can keep up with"
        most = target_value(deployment) * deployment.machines(deployment.manifest.scale.max) * 4
        yield Watch(
            "QueueAlarm", about, INVOCATIONS, "ApproximateBacklogSize", place, "Maximum", most, 5
        )
    else:
        about = "The slowest answers take nearly the 60 s that SageMaker waits"
        place, *elsewhere = _places(deployment)
        yield Watch(
            "LatencyAlarm",
            about,
            INVOCATIONS,
            "ModelLatency",
            place,
            "p95",
            NEAR_TIMEOUT_US,
            elsewhere=tuple(elsewhere),
        )
        about = "Twice as many requests are in flight as the policy allows for, at most copies"
        metric, place = _in_flight(deployment)
        most = 2 * target_value(deployment)
        yield Watch("QueueAlarm", about, INVOCATIONS, metric, place, "Maximum", most, 5)
    if deployment.machine.gpus:
        yield _memory_watch(deployment)


def _memory_watch(deployment: Deployment) -> Watch:
    """A component's share is told for each copy; a machine's is the sum of its GPUs."""
    about = "The GPUs' memory is all but full: the next long prompt may end the container"
    space, metric, place = MACHINES, "GPUMemoryUtilization", _variant(deployment)
    most = FULL * deployment.machine.gpus
    if deployment.mode == "components":
        space, metric, place, most = COPIES, f"{metric}Normalized", _base(deployment), FULL
    return Watch("GpuMemoryAlarm", about, space, metric, place, "Maximum", most)


def graphs(deployment: Deployment) -> Iterator[Graph]:
    """The dashboard's pictures."""
    if deployment.mode == "async":
        yield from _async_graphs(deployment)
    else:
        yield from _request_graphs(deployment)
    yield from _machine_graphs(deployment)


def _request_graphs(deployment: Deployment) -> Iterator[Graph]:
    place, *others = _places(deployment)
    elsewhere = tuple(each for each in others if each != _variant(deployment))
    counts = {"Invocations": "Sum", "Invocation4XXErrors": "Sum", "Invocation5XXErrors": "Sum"}
    yield Graph("Requests and errors", INVOCATIONS, place, counts, elsewhere)
    times = {"ModelLatency": "p95", "OverheadLatency": "p95"}
    title = "Latency, p95, microseconds"
    yield Graph(title, INVOCATIONS, place, times, elsewhere)
    streams = {"FirstChunkLatency": "p95", "MidStreamErrors": "Sum"}
    title = "Streams: first chunk, p95, microseconds; errors after it"
    yield Graph(title, INVOCATIONS, _variant(deployment), streams)
    metric, where = _in_flight(deployment)
    yield Graph("Requests in flight", INVOCATIONS, where, {metric: "Maximum"})
    if deployment.mode == "components" and deployment.manifest.scale.min == 0:
        refused = {"NoCapacityInvocationFailures": "Sum"}
        yield Graph("Requests that found no copy", INVOCATIONS, _base(deployment), refused)


def _async_graphs(deployment: Deployment) -> Iterator[Graph]:
    """Asynchronous endpoints have figures of their own, and neither invocations nor overhead."""
    place, endpoint = _variant(deployment), {"EndpointName": deployment.stack}
    counts = {
        "InvocationsProcessed": "Sum",
        "Invocation4XXErrors": "Sum",
        "Invocation5XXErrors": "Sum",
    }
    yield Graph("Requests and errors", INVOCATIONS, place, counts)
    yield Graph("Latency, p95, microseconds", INVOCATIONS, place, {"ModelLatency": "p95"})
    backlog = {"ApproximateBacklogSize": "Maximum", "HasBacklogWithoutCapacity": "Maximum"}
    yield Graph("Backlog", INVOCATIONS, endpoint, backlog)
    oldest = {"ApproximateAgeOfOldestRequest": "Maximum"}
    yield Graph("The oldest request waits, seconds", INVOCATIONS, endpoint, oldest)


def _machine_graphs(deployment: Deployment) -> Iterator[Graph]:
    of_copies = deployment.mode == "components"
    if deployment.machine.gpus and of_copies:
        used = {"GPUUtilizationNormalized": "Average", "GPUMemoryUtilizationNormalized": "Maximum"}
        yield Graph("GPU of the copies, per cent", COPIES, _base(deployment), used)
    elif deployment.machine.gpus:
        used = {"GPUUtilization": "Average", "GPUMemoryUtilization": "Maximum"}
        yield Graph("GPU, per cent, of all GPUs together", MACHINES, _variant(deployment), used)
    rest = {
        "CPUUtilizationNormalized" if of_copies else "CPUUtilization": "Average",
        "MemoryUtilization": "Maximum",
        "DiskUtilization": "Maximum",
    }
    yield Graph("Machine, per cent", MACHINES, _variant(deployment), rest)


def _places(deployment: Deployment) -> list[dict[str, str]]:
    """Where SageMaker counts requests and their errors: as many as an alarm may look at."""
    if deployment.mode != "components":
        return [_variant(deployment)]
    adapters = (deployment.component_of(name) for name in deployment.manifest.adapters)
    names = ({"InferenceComponentName": name} for name in adapters)
    return [_base(deployment), _variant(deployment), *names][:MOST_PLACES]


def _base(deployment: Deployment) -> dict[str, str]:
    return {"InferenceComponentName": deployment.base_component}


def _variant(deployment: Deployment) -> dict[str, str]:
    return {"EndpointName": deployment.stack, "VariantName": VARIANT}


def _in_flight(deployment: Deployment) -> tuple[str, dict[str, str]]:
    if deployment.mode == "components":
        return "ConcurrentRequestsPerCopy", _base(deployment)
    return "ConcurrentRequestsPerModel", _variant(deployment)
