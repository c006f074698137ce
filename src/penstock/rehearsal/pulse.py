"""What time does by itself: gauges are sampled, alarms looked at, policies followed."""

import sys
import threading
import traceback

from penstock.rehearsal.alarms import Alarms
from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.functions.running import Functions
from penstock.rehearsal.sagemaker.records import Endpoint, Estate
from penstock.rehearsal.scaling import SAGEMAKER, Scaling

EVERY_S = 5.0
"""How often, in AWS's seconds: twice in the period of its high-resolution metrics."""


class Pulse:
    """A thread that ticks."""

    def __init__(
        self, cloud: Cloud, estate: Estate, scaling: Scaling, functions: Functions
    ) -> None:
        self._cloud, self._estate, self._scaling = cloud, estate, scaling
        self._functions = functions
        self._alarms = Alarms(cloud, scaling)
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin to tick."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._told.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._told.wait(EVERY_S / self._cloud.clock.scale):
            try:
                self._sample()
                self._alarms.tick()
                self._scaling.tick()
                self._cloud.lines.carry()
                self._functions.prune()
            except Exception:  # noqa: BLE001  one bad alarm must not stop the clock; it is told
                sys.stderr.write(traceback.format_exc())

    def _sample(self) -> None:
        put = self._cloud.metrics.put
        for component in list(self._estate.components.values()):
            if copies := component.copies:
                name = {"InferenceComponentName": component.name}
                put(SAGEMAKER, "ConcurrentRequestsPerCopy", name, copies.in_flight / len(copies))
        for endpoint in list(self._estate.endpoints.values()):
            for variant in list(endpoint.variants.values()):
                if not len(variant.copies):
                    continue
                name = {"EndpointName": endpoint.name, "VariantName": variant.name}
                load = variant.copies.in_flight / len(variant.copies)
                put(SAGEMAKER, "ConcurrentRequestsPerModel", name, load)
            if endpoint.backlog is not None:
                self._sample_backlog(endpoint.name, endpoint.backlog, _instances(endpoint))

    def _sample_backlog(self, name: str, backlog: int, instances: int) -> None:
        put, at = self._cloud.metrics.put, {"EndpointName": name}
        put(SAGEMAKER, "ApproximateBacklogSize", at, backlog)
        put(SAGEMAKER, "HasBacklogWithoutCapacity", at, float(backlog > 0 and instances == 0))
        if instances:
            put(SAGEMAKER, "ApproximateBacklogSizePerInstance", at, backlog / instances)


def _instances(endpoint: Endpoint) -> int:
    return sum(len(each.copies) for each in endpoint.variants.values())
