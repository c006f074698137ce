"""An AWS account in one region, as boto3 reaches it.

Everything that AWS's own settings say holds here too: profiles, `AWS_ENDPOINT_URL`, proxies.
"""

import os
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from penstock.ground.errors import UserError
from penstock.targets.aws.refusals import aws_errors

ATTEMPTS, ANSWER_S = 8, 70
"""How often a call is tried before its refusal counts, where AWS's settings say nothing of it, and
how long an answer is waited for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who deploys: the account's number, and the ARN of the user or role."""

    account: str
    arn: str


class Account:
    """Clients that wait and try again when AWS throttles; use it as a context, to close them."""

    def __init__(self, region: str | None = None) -> None:
        """Find credentials and the region; raises UserError where there is no region."""
        try:
            settings = botocore.session.Session()
            asked = region or os.environ.get("AWS_REGION")  # which botocore does not read
            self._session = boto3.session.Session(region_name=asked, botocore_session=settings)
        except BotoCoreError as error:  # a profile that does not exist
            raise UserError("the AWS profile cannot be used", why=str(error)) from error
        found = self._session.region_name
        if found is None:
            raise UserError("no AWS region is known", fix="Set target.region, or AWS_REGION.")
        self.region = str(found)
        self._attempts = settings.get_config_variable("max_attempts") or ATTEMPTS
        self._clients: dict[str, Any] = {}
        self._identity: Identity | None = None

    def client(self, service: str) -> Any:
        """The boto3 client of a service; the same one every time."""
        if service not in self._clients:
            with aws_errors("AWS"):
                self._clients[service] = self._session.client(
                    service,
                    config=Config(
                        retries={"mode": "adaptive", "max_attempts": self._attempts},
                        connect_timeout=10,
                        read_timeout=ANSWER_S,
                        user_agent_extra="penstock",
                    ),
                )
        return self._clients[service]

    @property
    def is_real(self) -> bool:
        """Whether this is AWS itself, and nothing that stands in for it."""
        host = urlsplit(self.client("ecr").meta.endpoint_url).hostname or ""
        return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))

    def credentials(self) -> Any:
        """The credentials in use.

        Raises:
            UserError: there are none.
        """
        found = self._session.get_credentials()
        if found is None:
            raise UserError("there are no AWS credentials", fix="Set AWS_PROFILE, or sign in.")
        return found

    def regions(self, service: str) -> frozenset[str]:
        """The regions that have a service, as far as boto3 knows, of all partitions."""
        return frozenset(
            region
            for partition in self._session.get_available_partitions()
            for region in self._session.get_available_regions(service, partition)
        )

    @property
    def identity(self) -> Identity:
        """Whose credentials these are.

        Raises:
            UserError: there are none, or they are not valid any more.
            CloudError: AWS cannot be reached.
        """
        if self._identity is None:
            with aws_errors("AWS"):
                told = self.client("sts").get_caller_identity()
            self._identity = Identity(told["Account"], told["Arn"])
        return self._identity

    def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
