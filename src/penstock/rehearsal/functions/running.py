"""Lambda functions, each in a process of its own: a zip with a handler, or an image of ours.

An image is run when its command is Penstock's: the process listens on HTTP, as it does behind the
Lambda Web Adapter. One process serves all requests, where Lambda would start one for each at a
time. The rest of Lambda is moto's.
"""

import http.client
import io
import sys
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.backends import get_backend

from penstock.rehearsal.cloud import Cloud, unique
from penstock.rehearsal.containers.environment import LISTEN, CannotStart, as_role, own_command
from penstock.rehearsal.leashed import Leashed
from penstock.targets.local.ports import free_port

HOST = Path(__file__).with_name("host.py")
START_S, POLL_S = 60.0, 0.05


class FunctionFailed(Exception):
    """The function cannot be run; the text is what its log would say."""


@dataclass(frozen=True, slots=True)
class Running:
    """A function's process: `speaks_http` when it is a web server and no handler."""

    process: Leashed
    port: int
    version: str
    speaks_http: bool
    streams: bool
    timeout_s: float


class Functions:
    """Starts functions when they are asked for, and anew when they were changed."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._running: dict[str, Running] = {}
        self._lock = threading.Lock()

    def running(self, arn: str) -> Running:
        """Return the function's process; raises FunctionFailed when it does not come up."""
        client = self._cloud.client("lambda")
        try:
            told = client.get_function_configuration(FunctionName=arn)
        except client.exceptions.ResourceNotFoundException as error:
            raise FunctionFailed(f"there is no function {arn}") from error
        name = told["FunctionName"]
        with self._lock:
            old = self._running.get(name)
            if old and old.version == _version(told) and old.process.alive():
                return old
            if old:
                self._end(old)
            self._running[name] = self._start(told)
            return self._running[name]

    def stop(self) -> None:
        """End every process."""
        with self._lock:
            for each in self._running.values():
                self._end(each)
            self._running.clear()

    def prune(self) -> None:
        """End the processes of functions that were deleted."""
        with self._lock:
            if not self._running:
                return
            kept = {
                e["FunctionName"]
                for e in self._cloud.client("lambda").list_functions()["Functions"]
            }
            for name in set(self._running) - kept:
                self._end(self._running.pop(name))

    def _start(self, told: dict[str, Any]) -> Running:
        name, port = told["FunctionName"], free_port()
        variables = told.get("Environment", {}).get("Variables", {})
        try:
            role = as_role(self._cloud, told["Role"])
        except CannotStart as error:
            raise FunctionFailed(str(error)) from error
        env = {
            **variables, **role,
            LISTEN: f"127.0.0.1:{port}", "PORT": str(port), "AWS_LWA_PORT": str(port),
            "AWS_LAMBDA_FUNCTION_NAME": name,
        }  # fmt: skip
        image = told.get("PackageType") == "Image"
        argv = self._image(told) if image else self._zip(told)
        log = self._cloud.folder / "functions" / name / f"{unique()}.log"
        process = Leashed(argv, env, log)
        group = self._cloud.log_groups.get(name) or f"/aws/lambda/{name}"
        self._cloud.lines.follow(log, group, f"$LATEST/{unique(32)}")
        path = variables.get("AWS_LWA_READINESS_CHECK_PATH", "/") if image else "/"
        if not _comes_up(process, port, path):
            process.stop()
            self._cloud.lines.end(log)
            raise FunctionFailed(f"the function {name} did not come up, see {group}")
        streams = variables.get("AWS_LWA_INVOKE_MODE", "").lower() == "response_stream"
        limit_s = float(told.get("Timeout", 3))
        return Running(process, port, _version(told), image, streams, limit_s)

    def _image(self, told: dict[str, Any]) -> list[str]:
        config = told.get("ImageConfigResponse", {}).get("ImageConfig", {})
        uri = self._cloud.client("lambda").get_function(FunctionName=told["FunctionName"])
        words = self._cloud.images.words(
            uri["Code"].get("ImageUri", ""),
            config.get("EntryPoint", []),
            config.get("Command", []),
        )
        argv = own_command(words)
        if argv is None:
            raise FunctionFailed(
                f"the stand-in cannot run the image of {told['FunctionName']}: its command is not "
                "Penstock's"
            )
        return argv

    def _zip(self, told: dict[str, Any]) -> list[str]:
        backend = get_backend("lambda")[self._cloud.account][self._cloud.region]
        code = backend.get_function(told["FunctionName"]).code_bytes
        folder = self._cloud.folder / "functions" / told["FunctionName"] / unique()
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            archive.extractall(folder)
        return [sys.executable, str(HOST), str(folder), told["Handler"]]

    def _end(self, running: Running) -> None:
        running.process.stop()
        self._cloud.lines.end(running.process.log)


def _version(told: dict[str, Any]) -> str:
    return f"{told.get('CodeSha256')} {told.get('LastModified')} {told.get('Environment')}"


def _comes_up(process: Leashed, port: int, path: str) -> bool:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.alive():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                return True
        except OSError:
            time.sleep(POLL_S)
        finally:
            connection.close()
    return False
