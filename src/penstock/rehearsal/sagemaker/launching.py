"""What it takes for engines to come up behind SageMaker: instances, files, a healthy container."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.rehearsal.cloud import Cloud, unique
from penstock.rehearsal.copies import Copies, unpack
from penstock.rehearsal.dialects.containers import flaws, kind_of
from penstock.rehearsal.refusals import AwsError

PROVISION_S, DOWNLOAD_S, PING_S = 120.0, 60.0, 30.0
"""How long instances, a model's files and the first healthy ping take, in AWS's seconds."""
NO_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
    "Please retry using a different ML instance type or after some time."
)
OUT_OF_MEMORY = (
    "INFO engine starts",
    "INFO loading weights",
    "ERROR torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.96 GiB. GPU 0 has a "
    "total capacity of 22.06 GiB of which 1.02 GiB is free.",
    "ERROR RuntimeError: Engine core initialization failed. See root cause above.",
)


class LaunchFailed(Exception):
    """The engines did not come up; the text is the `FailureReason`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container runs: words for its faults and its log."""

    name: str
    what: str
    group: str
    stream: str
    container: Mapping[str, Any] = field(default_factory=dict)
    """The container as it was asked for: `Image`, `Environment`."""


class Launcher:
    """Brings engines up as SageMaker would, with all that can go wrong on the way."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def provision(self, name: str) -> None:
        """Wait for instances."""
        self._cloud.clock.sleep(PROVISION_S)
        if self._cloud.faults.take("capacity", name=name):
            raise LaunchFailed(NO_CAPACITY)

    def launch(self, place: Place, copies: Copies, count: int) -> None:
        """Bring up `count` engines in place of those that run; raises LaunchFailed."""
        faults, clock = self._cloud.faults, self._cloud.clock
        if slow := faults.take("slow_download", name=place.name):
            clock.sleep(slow.seconds)
        clock.sleep(DOWNLOAD_S)
        if faults.take("download", name=place.name):
            raise LaunchFailed(
                f"Failed to download model data for {place.what}. Please ensure that there is an "
                "object located at the URL and that the role passed to CreateModel has "
                "permissions to download the model."
            )
        if faults.take("memory", name=place.name):
            self.write_log(place, OUT_OF_MEMORY)
            raise LaunchFailed(_unhealthy(place))
        if faults.take("health_check", name=place.name):
            self.write_log(place, ("ERROR exec /usr/bin/serve: no such file",))
            raise LaunchFailed(_unhealthy(place))
        self._refuse_environment(place)
        copies.image = place.container.get("Image", "")
        copies.environment = dict(place.container.get("Environment", {}))
        clock.sleep(PING_S)
        if not self.resize(place, copies, count):
            raise LaunchFailed(_unhealthy(place))
        if faults.take("crash", name=place.name):
            copies.stop()
            raise LaunchFailed(_unhealthy(place))

    def _refuse_environment(self, place: Place) -> None:
        told = place.container
        if wrong := flaws(kind_of(told.get("Image", "")), told.get("Environment", {})):
            self.write_log(place, wrong)
            raise LaunchFailed(_unhealthy(place))

    def fetch(self, url: str, folder: Path) -> Path:
        """Download an `s3://` artifact and unpack it; raises LaunchFailed."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        archive = folder.with_suffix(".tar.gz")
        archive.parent.mkdir(parents=True, exist_ok=True)
        s3 = self._cloud.client("s3")
        try:
            s3.download_file(bucket, key, str(archive))
            unpack(archive, folder)
        except s3.exceptions.ClientError as error:
            raise LaunchFailed(f"Failed to download {url}: {error}") from error
        except AwsError as error:
            raise LaunchFailed(f"{url}: {error.message}") from error
        return folder

    def write_log(self, place: Place, lines: Any) -> None:
        """Write lines to the container's stream in CloudWatch Logs."""
        self._cloud.lines.write(place.group, f"{place.stream}/i-{unique(17)}", list(lines))

    def resize(self, place: Place, copies: Copies, count: int) -> bool:
        """Start or end engines until there are `count`, and follow what they write."""
        good = copies.resize(count)
        for log in copies.logs:
            self._cloud.lines.follow(log, place.group, f"{place.stream}/i-{unique(17)}")
        return good


def _unhealthy(place: Place) -> str:
    return (
        f"The {place.what} did not pass the ping health check. Please check CloudWatch logs for "
        "this endpoint."
    )
