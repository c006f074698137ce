"""Images that Docker or CodeBuild makes and ECR keeps; their tags tell their contents."""

import base64
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from penstock.ground.errors import CloudError
from penstock.plan.carrying_out import Tell
from penstock.targets.aws.account import Account
from penstock.targets.aws.bucket import Bucket
from penstock.targets.aws.docker import Docker, Login
from penstock.targets.aws.logs import Logs
from penstock.targets.aws.patience import Patience
from penstock.targets.aws.refusals import aws_errors, code_of
from penstock.targets.aws.stack import ImageBuild

LATEST = 20
"""How many of a project's last builds are looked at."""
LAST_LINES = 15
ABSENT = {"ImageNotFoundException", "RepositoryNotFoundException"}


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where images are built: the bucket of the sources, the project, and the repository."""

    bucket: str
    project: str
    repository: str


class Builds:
    """Images of one deployment."""

    def __init__(self, account: Account, workshop: Workshop, docker: Docker | None = None) -> None:
        """`docker` builds them on this machine; without it CodeBuild does."""
        self._docker, self._bucket = docker, Bucket(account, workshop.bucket)
        self._ecr: Any = account.client("ecr")
        self._codebuild: Any = account.client("codebuild")
        self._workshop, self._logs = workshop, Logs(account)

    def has(self, tag: str) -> bool:
        """Whether there is an image with this tag."""
        with aws_errors("ECR"):
            try:
                self._ecr.describe_images(
                    repositoryName=self._workshop.repository, imageIds=[{"imageTag": tag}]
                )
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return False
                raise
        return True

    def under_way(self, build: ImageBuild) -> str | None:
        """The id of a build of this image that somebody has begun; none where there is none."""
        with aws_errors("CodeBuild"):
            ids = self._codebuild.list_builds_for_project(projectName=self._workshop.project)
            if not ids["ids"]:
                return None
            told = self._codebuild.batch_get_builds(ids=ids["ids"][:LATEST])["builds"]
        for each in told:
            if each["buildStatus"] == "IN_PROGRESS" and self._is_of(each, build):
                return str(each["id"])
        return None

    def make(self, build: ImageBuild, tell: Tell) -> None:
        """Build an image and see it in the repository.

        Raises:
            CloudError: it failed; with its last lines.
        """
        if self._docker is None:
            self.wait(self.start(build), tell)
            return
        source = self._bucket.read(build.source)
        if source is None:
            raise CloudError(f"{build.source} is not in {self._workshop.bucket}")
        with aws_errors("ECR"):
            (told,) = self._ecr.describe_repositories(repositoryNames=[self._workshop.repository])[
                "repositories"
            ]
            key = self._ecr.get_authorization_token()["authorizationData"][0]
        place = str(told["repositoryUri"])
        user, _, password = base64.b64decode(key["authorizationToken"]).decode().partition(":")
        login = Login(place.partition("/")[0], user, password)
        self._docker.make(source, f"{place}:{build.tag}", login, tell)

    def start(self, build: ImageBuild) -> str:
        """Begin to build an image; returns the build's id."""
        with aws_errors("CodeBuild"):
            told = self._codebuild.start_build(
                projectName=self._workshop.project,
                sourceTypeOverride="S3",
                sourceLocationOverride=self._location(build),
                environmentVariablesOverride=[
                    {"name": "IMAGE_TAG", "value": build.tag, "type": "PLAINTEXT"}
                ],
            )
        return str(told["build"]["id"])

    def wait(self, name: str, tell: Tell) -> None:
        """Wait for the end of a build.

        Raises:
            CloudError: it failed; with its last lines.
        """
        patience, phase = Patience(f"build {name}"), ""
        while True:
            with aws_errors("CodeBuild"):
                told = self._codebuild.batch_get_builds(ids=[name])["builds"][0]
            if (now := told.get("currentPhase", "")) != phase:
                phase = now
                tell(f"{name.partition(':')[0]}: {phase}")
                patience.news()
            if told["buildStatus"] == "SUCCEEDED":
                return
            if told["buildStatus"] != "IN_PROGRESS":
                raise self._failed(told)
            patience.pause()

    def _failed(self, told: dict[str, Any]) -> CloudError:
        reasons = [
            context["message"]
            for phase in told.get("phases", ())
            for context in phase.get("contexts", ())
            if context.get("message")
        ]
        group = told.get("logs", {}).get("groupName", "")
        lines = self._logs.tail(group, LAST_LINES) if group else []
        written = "".join(f"\n    | {line.text.rstrip()}" for line in lines)
        return CloudError(
            f"the image could not be built: {told['buildStatus']}",
            why="; ".join(reasons) + (f"\n  Its last lines:{written}\n " if lines else ""),
            fix="Mend what it names, and deploy again: it is built anew",
            where=f"log group {group}",
        )

    def _is_of(self, told: dict[str, Any], build: ImageBuild) -> bool:
        return bool(told.get("source", {}).get("location") == self._location(build))

    def _location(self, build: ImageBuild) -> str:
        return f"{self._workshop.bucket}/{build.source}"
