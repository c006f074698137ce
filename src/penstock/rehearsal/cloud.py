"""What all services of the stand-in share: who and where they are, the clock, the faults."""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from penstock.rehearsal.clock import ScaledClock
from penstock.rehearsal.faults import Faults
from penstock.rehearsal.images import Images
from penstock.rehearsal.lines import Lines
from penstock.rehearsal.metrics import Metrics

ACCOUNT = "123456789012"  # the account of moto's backends
INSIDE = "penstock-rehearsal-inside"
"""Marks, in the User-Agent, calls that one service of the stand-in makes to another."""
BEHALF = "penstock-rehearsal-on-behalf"
"""Marks what CloudFormation calls as whoever deploys: it is held to that one's permissions."""


@dataclass(slots=True)
class Cloud:
    """The rehearsed account in one region; `url` is known once the server listens."""

    region: str
    folder: Path
    clock: ScaledClock
    access_key: str = "rehearsal"
    secret_key: str = "rehearsal"  # noqa: S105  the dummy that the stand-in knows
    account: str = ACCOUNT
    url: str = ""
    enforces: bool = False
    """Whether what IAM's policies do not allow is refused."""
    signing: threading.local = field(default_factory=threading.local)
    """`key`: the access key of the request that this thread answers."""
    log_groups: dict[str, str] = field(default_factory=dict)
    """Where functions write that have a group of their own, which moto forgets."""
    faults: Faults = field(default_factory=Faults)
    images: Images = field(default_factory=Images)
    metrics: Metrics = field(init=False)
    lines: Lines = field(init=False)
    _clients: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.clock)
        self.lines = Lines(self.client)

    def arn(self, service: str, what: str) -> str:
        """Return the ARN of something in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{what}"

    def client(self, service: str) -> Any:
        """Return a boto3 client that speaks to the stand-in itself, as one service to another."""
        return self._client(service, self.access_key, self.secret_key, INSIDE)

    def client_of(self, access_key: str, secret_key: str, service: str) -> Any:
        """Return a client with which CloudFormation acts for whoever has the key."""
        return self._client(service, access_key, secret_key, BEHALF)

    def _client(self, service: str, access_key: str, secret_key: str, mark: str) -> Any:
        with self._lock:
            name = f"{service} {access_key} {mark}"
            if name not in self._clients:
                self._clients[name] = boto3.client(
                    service,
                    region_name=self.region,
                    endpoint_url=self.url,
                    aws_access_key_id=access_key,
                    aws_secret_access_key=secret_key,
                    config=Config(
                        user_agent_extra=mark,
                        retries={"max_attempts": 0},
                        max_pool_connections=50,
                        s3={"addressing_style": "path"},
                    ),
                )
            return self._clients[name]

    def in_background(self, work: Callable[[], None], name: str) -> None:
        """Do `work` in a thread that does not keep the process alive."""
        threading.Thread(target=work, name=name, daemon=True).start()


def now() -> datetime:
    """Return the wall's time, for timestamps in answers."""
    return datetime.now(UTC)


def unique(length: int = 12) -> str:
    """Return a random name part of AWS's kind."""
    return uuid.uuid4().hex[:length]
