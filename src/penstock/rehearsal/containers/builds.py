"""CodeBuild's builds, as far as they go without Docker; projects are moto's.

A build fetches its source from S3, unpacks it, reads the buildspec and the Dockerfile, looks for
what is copied, and pushes an image record to the repository that `REPOSITORY_URI` and `IMAGE_TAG`
name. The commands of the phases are not run, and the log says so.
"""

import fnmatch
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import yaml
from botocore.exceptions import ClientError

from penstock.rehearsal.cloud import Cloud, now, unique
from penstock.rehearsal.images import copied, read_dockerfile
from penstock.rehearsal.refusals import AwsError, invalid

Parameters = dict[str, Any]
SECONDS = {"PROVISIONING": 20.0, "DOWNLOAD_SOURCE": 5.0, "PRE_BUILD": 5.0, "BUILD": 120.0,
           "POST_BUILD": 20.0}  # fmt: skip
"""How long each phase takes, in AWS's seconds."""
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Builds:
    """The operations on builds."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._builds: dict[str, Parameters] = {}
        self._stopped: set[str] = set()

    def start_build(self, given: Parameters) -> Parameters:
        """Begin a build of a project."""
        project = self._project(given["projectName"])
        name = f"{given['projectName']}:{unique(32)}"
        variables = {
            each["name"]: each["value"]
            for each in (
                *project.get("environment", {}).get("environmentVariables", ()),
                *given.get("environmentVariablesOverride", ()),
            )
        }
        group = project.get("logsConfig", {}).get("cloudWatchLogs", {}).get("groupName")
        group = group or f"/aws/codebuild/{given['projectName']}"
        build: Parameters = {
            "id": name,
            "arn": self._cloud.arn("codebuild", f"build/{name}"),
            "projectName": given["projectName"],
            "buildNumber": len(self._builds) + 1,
            "buildStatus": "IN_PROGRESS",
            "currentPhase": "QUEUED",
            "startTime": now(),
            "buildComplete": False,
            "phases": [],
            "source": {
                "type": given.get("sourceTypeOverride", project["source"]["type"]),
                "location": given.get(
                    "sourceLocationOverride", project["source"].get("location", "")
                ),
            },
            "logs": {"groupName": group, "streamName": name.partition(":")[2]},
            "serviceRole": project.get("serviceRole", ""),
        }
        self._builds[name] = build
        spec = given.get("buildspecOverride") or project["source"].get("buildspec", "")
        self._cloud.in_background(lambda: self._run(build, variables, spec), f"build {name}")
        return {"build": build}

    def batch_get_builds(self, given: Parameters) -> Parameters:
        """Return copies of builds: these go on while the answer is written."""
        found = [dict(self._builds[each]) for each in given["ids"] if each in self._builds]
        missing = [each for each in given["ids"] if each not in self._builds]
        return {"builds": found, "buildsNotFound": missing}

    def list_builds_for_project(self, given: Parameters) -> Parameters:
        """Return a project's builds, newest first."""
        self._project(given["projectName"])
        found = [
            e["id"]
            for e in list(self._builds.values())
            if e["projectName"] == given["projectName"]
        ]
        return {"ids": found[::-1]}

    def list_builds(self, _: Parameters) -> Parameters:
        """Return all builds, newest first."""
        return {"ids": list(self._builds)[::-1]}

    def stop_build(self, given: Parameters) -> Parameters:
        """End a build before its next phase."""
        build = self._builds.get(given["id"])
        if build is None:
            raise AwsError("ResourceNotFoundException", f"Build {given['id']} not found")
        self._stopped.add(build["id"])
        return {"build": build}

    def _run(self, build: Parameters, variables: Mapping[str, str], spec: str) -> None:
        held: dict[str, bytes] = {}
        status, why = "SUCCEEDED", ""
        for phase, seconds in SECONDS.items():
            build["currentPhase"], begin = phase, now()
            try:
                self._cloud.clock.sleep(seconds)
                if build["id"] in self._stopped:
                    status = "STOPPED"
                    break
                self._do(phase, build, variables, spec, held)
            except AwsError as error:
                status, why = "FAILED", error.message
            said = {"phaseType": phase, "phaseStatus": status, "startTime": begin}
            if why:
                said["contexts"] = [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": why}]
            build["phases"].append({**said, "endTime": now(), "durationInSeconds": int(seconds)})
            words = f"Phase complete: {phase} State: {status}"
            self._log(build, words, *([f"Phase context: {why}"] if why else []))
            if why:
                break
        build |= {
            "buildStatus": status, "currentPhase": "COMPLETED", "buildComplete": True,
            "endTime": now(),
        }  # fmt: skip

    def _do(
        self, phase: str, build: Parameters, variables: Mapping[str, str], spec: str,
        held: dict[str, bytes],
    ) -> None:  # fmt: skip
        if phase == "DOWNLOAD_SOURCE":
            held |= self._source(build["source"])
        elif phase in {"PRE_BUILD", "BUILD"}:
            self._read_spec(build, phase, spec, held)
            if phase == "BUILD":
                self._build(build, held)
        elif phase == "POST_BUILD":
            self._push(build, variables, held["Dockerfile"].decode())

    def _source(self, source: Parameters) -> dict[str, bytes]:
        if source["type"] != "S3":
            raise AwsError("BuildFailed", f"the stand-in has no source of type {source['type']}")
        bucket, _, key = source["location"].removeprefix("arn:aws:s3:::").partition("/")
        try:
            body = self._cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            raise AwsError("BuildFailed", f"error while downloading key {key}: {error}") from error
        try:
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                return {name: archive.read(name) for name in archive.namelist()}
        except zipfile.BadZipFile as error:
            raise AwsError("BuildFailed", f"{key} is not a zip file") from error

    def _read_spec(
        self, build: Parameters, phase: str, spec: str, held: Mapping[str, bytes]
    ) -> None:
        text = spec or held.get("buildspec.yml", b"").decode()
        try:
            tree = yaml.safe_load(text)
            phases = tree["phases"]
            version = str(tree["version"])
        except (yaml.YAMLError, KeyError, TypeError) as error:
            raise AwsError("BuildFailed", f"YAML_FILE_ERROR: {error}") from error
        if version not in {"0.1", "0.2"} or not isinstance(phases, dict):
            raise AwsError("BuildFailed", f"YAML_FILE_ERROR: unknown version {version}")
        for line in phases.get(phase.lower(), {}).get("commands", ()):
            self._log(build, f"Not run by the stand-in: {line}")

    def _build(self, build: Parameters, held: Mapping[str, bytes]) -> None:
        if self._cloud.faults.take("build", name=build["projectName"]):
            raise AwsError(
                "BuildFailed",
                "Error while executing command: docker build. Reason: exit status 1",
            )
        if "Dockerfile" not in held:
            raise AwsError(
                "BuildFailed", "failed to read dockerfile: open Dockerfile: no such file"
            )
        text = held["Dockerfile"].decode()
        read_dockerfile(text)
        for pattern in copied(text):
            wanted = pattern.removeprefix("./").rstrip("/") or "*"
            if not any(fnmatch.fnmatch(n, wanted) or n.startswith(f"{wanted}/") for n in held):
                raise AwsError("BuildFailed", f'"/{pattern}": not found')

    def _push(self, build: Parameters, variables: Mapping[str, str], text: str) -> None:
        uri, tag = variables.get("REPOSITORY_URI", ""), variables.get("IMAGE_TAG", "")
        if not uri or not tag:
            raise AwsError("BuildFailed", "REPOSITORY_URI and IMAGE_TAG name no image")
        digest = hashlib.sha256(text.encode()).hexdigest()
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1,
                  "digest": f"sha256:{digest}"}  # fmt: skip
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
        try:
            self._cloud.client("ecr").put_image(
                repositoryName=uri.partition("/")[2],
                imageManifest=json.dumps({**manifest, "annotations": {"tag": tag}}),
                imageManifestMediaType=MANIFEST,
                imageTag=tag,
            )
        except ClientError as error:
            raise AwsError("BuildFailed", f"docker push: {error}") from error
        self._cloud.images.push(f"{uri}:{tag}", read_dockerfile(text))
        self._log(build, f"An image record was pushed as {uri}:{tag}; no image was built.")

    def _log(self, build: Parameters, *lines: str) -> None:
        self._cloud.lines.write(
            build["logs"]["groupName"], build["logs"]["streamName"], list(lines)
        )

    def _project(self, name: str) -> Parameters:
        found = self._cloud.client("codebuild").batch_get_projects(names=[name])["projects"]
        if not found:
            raise invalid(f"Project cannot be found: {name}")
        return dict(found[0])
