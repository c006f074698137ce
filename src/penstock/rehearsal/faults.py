"""What is to go wrong, ordered from outside: `POST /_rehearsal/faults {"kind": ...}`."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.rehearsal.refusals import AwsError, invalid

KINDS = {
    "capacity": "no instance of the type is to be had: the endpoint, or its growth, fails",
    "quota": "the account may not have so many instances: the call is refused",
    "health_check": "the container never answers its health check: the endpoint or task fails",
    "memory": "the container runs out of GPU memory: the endpoint fails",
    "download": "the model's files cannot be downloaded: the endpoint fails",
    "slow_download": "the model's files take `seconds` (default 1800) longer",
    "throttling": "calls are answered with `Rate exceeded`",
    "resource": "a CloudFormation resource (`name`) fails to be created or changed",
    "rollback": "going back to how a CloudFormation resource (`name`) was fails",
    "alarm": "the alarm `name` is on, for 5 s of AWS's time for each of `times`",
    "crash": "the process of a new container (`name`: its service or endpoint) ends at once",
    "build": "`docker build` fails in a build of CodeBuild (`name`: the project)",
    "stream": "the model's answer breaks off in mid-stream",
}


@dataclass(slots=True)
class Fault:
    """One fault; `times` is how often it still strikes, the rest says where."""

    kind: str
    times: int = 1
    service: str = ""
    operation: str = ""
    name: str = ""
    seconds: float = 1800.0

    def strikes(self, place: Mapping[str, str]) -> bool:
        """Whether it is meant for this place; what it leaves open matches everything."""
        wanted = {"service": self.service, "operation": self.operation, "name": self.name}
        return all(not value or place.get(key, "") == value for key, value in wanted.items())


class Faults:
    """The faults that have been ordered and have not struck yet."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def order(self, wish: Mapping[str, Any]) -> Fault:
        """Take an order; raises AwsError for what is not a fault."""
        try:
            fault = Fault(**wish)
        except TypeError as error:
            raise invalid(f"not a fault: {error}") from error
        if fault.kind not in KINDS:
            raise invalid(f"there is no fault {fault.kind}: it is one of {', '.join(KINDS)}")
        with self._lock:
            self._waiting.append(fault)
        return fault

    def take(self, kind: str, **place: str) -> Fault | None:
        """Return the first fault of `kind` that strikes here, and count it."""
        with self._lock:
            for fault in self._waiting:
                if fault.kind == kind and fault.strikes(place):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._waiting.remove(fault)
                    return fault
        return None

    def clear(self) -> None:
        """Forget what has not struck."""
        with self._lock:
            self._waiting.clear()


def refuse_quota(instance_type: str, count: int, *, used: int = 0, most: int = 0) -> AwsError:
    """Return what SageMaker says when the account's quota is too small."""
    return AwsError(
        "ResourceLimitExceeded",
        f"The account-level service limit '{instance_type} for endpoint usage' is {most} "
        f"Instances, with current utilization of {used} Instances and a request delta of "
        f"{count} Instances. Please use AWS Service Quotas to request an increase for this quota. "
        "If AWS Service Quotas is not available, contact AWS support to request an increase for "
        "this quota.",
    )
