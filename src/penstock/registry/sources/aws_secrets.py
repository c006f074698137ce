"""Keys of tenants from AWS Secrets Manager: one secret a tenant; needs `penstock[aws]`.

A secret's name is a prefix and the tenant's name. Its string is the key itself, or JSON with
`api_key` or `api_keys`. A rotation shows as a new version under the stage AWSCURRENT; the keys of
AWSPREVIOUS open for an overlap after the new version was made. All of this is read from AWS alone,
so that every gateway, and one that has just started, comes to the same result.

Secrets are listed at every refresh, and read only where their versions have changed.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from penstock.ground.clock import Clock
from penstock.registry.keys import digest_of
from penstock.registry.records import NAME, KeyRecord
from penstock.registry.sources.health import SourceHealth
from penstock.registry.stores.changes import Changes

_AGAIN_S = 5.0
"""How soon a refresh that failed is tried again, where the usual pace is slower."""
_LEAST_BYTES, _MOST_BYTES = 16, 512
_MOST_KEYS = 20


class Version(NamedTuple):
    """The keys of one version of a secret, and when that was made."""

    keys: tuple[str, ...]
    made_s: float


_NONE = Version((), 0.0)


class SecretsClient(Protocol):
    """What is used of boto3's client."""

    def get_paginator(self, name: str) -> Any:
        """Return the paginator of an operation."""

    def get_secret_value(self, **asked: str) -> Any:
        """Return one version of a secret."""


@dataclass(slots=True)
class _Secret:
    """What is known of one secret: versions by stage, as listed, and as read."""

    stages: dict[str, str]
    current: Version = _NONE
    previous: Version = _NONE
    problem: str | None = None


@dataclass(slots=True)
class AwsSecrets:
    """Keeps the keys of one prefix up to date; a `Background` of the gateway."""

    client: SecretsClient
    prefix: str
    learn: Callable[[Changes], None]
    wall: Clock
    health: SourceHealth
    refresh_s: float = 60.0
    overlap_s: float = 300.0
    _secrets: dict[str, _Secret] = field(default_factory=dict)
    _known: dict[str, KeyRecord] = field(default_factory=dict)

    async def start(self) -> None:
        """Read all secrets once; if that fails, the gateway starts without them."""
        await self.refresh()

    def loops(self) -> Sequence[Any]:
        """Return what refreshes for ever."""
        return (self._keep(),)

    async def stop(self) -> None:
        """Nothing is left to be done."""

    async def _keep(self) -> None:
        while True:
            soon = self.refresh_s if self.health.up else min(_AGAIN_S, self.refresh_s)
            await asyncio.sleep(soon)
            await self.refresh()

    async def refresh(self) -> None:
        """Learn of new, rotated and deleted secrets; what cannot be read stays as it was."""
        try:
            self._secrets = await asyncio.to_thread(self._read, dict(self._secrets))
        except (BotoCoreError, ClientError) as error:
            self.health.failed(_cause(error))
        else:
            problems = [f"{name}: {s.problem}" for name, s in self._secrets.items() if s.problem]
            if problems:
                self.health.failed("; ".join(problems[:5]))
            else:
                self.health.went_well()
        self._tell()

    def _read(self, known: dict[str, _Secret]) -> dict[str, _Secret]:
        """Return all secrets, read anew where they changed; runs in a thread."""
        found: dict[str, _Secret] = {}
        for name, stages in self._listed():
            held = known.get(name)
            if held is None or held.stages != stages or held.problem:
                held = self._one(name, stages, held)
            found[name] = held
        return found

    def _listed(self) -> Iterator[tuple[str, dict[str, str]]]:
        pages = self.client.get_paginator("list_secrets").paginate(
            Filters=[{"Key": "name", "Values": [self.prefix]}]
        )
        for page in pages:
            for secret in page["SecretList"]:
                name = secret["Name"]
                # The filter knows no case, and takes the prefix of any word.
                if name.startswith(self.prefix) and NAME.fullmatch(name[len(self.prefix) :]):
                    versions = secret.get("SecretVersionsToStages", {})
                    yield name, {stage: v for v, stages in versions.items() for stage in stages}

    def _one(self, name: str, stages: dict[str, str], held: _Secret | None) -> _Secret:
        read = _Secret(stages)
        try:
            read.current = self._version(name, stages.get("AWSCURRENT"))
            with suppress(ValueError):  # what was no key then opens nothing now
                read.previous = self._version(name, stages.get("AWSPREVIOUS"))
        except (BotoCoreError, ClientError, ValueError) as error:
            read = held or read
            read.problem = _cause(error)
        return read

    def _version(self, name: str, version: str | None) -> Version:
        if version is None:
            return _NONE
        answer = self.client.get_secret_value(SecretId=name, VersionId=version)
        return Version(keys_in(answer.get("SecretString")), answer["CreatedDate"].timestamp())

    def _tell(self) -> None:
        """Let the gateway learn of keys that came and went."""
        records: dict[str, KeyRecord] = {}
        shared: set[str] = set()
        for name, secret in self._secrets.items():
            tenant = name[len(self.prefix) :]
            for key, ends_s in self._open(secret):
                record = _record(key, tenant, ends_s)
                if records.setdefault(record.digest, record).tenant != tenant:
                    shared.add(record.digest)
        if shared:
            self.health.failed(f"{len(shared)} keys are in the secrets of two tenants")
        records = {digest: r for digest, r in records.items() if digest not in shared}
        now_s = self.wall()
        changed = [r for digest, r in records.items() if self._known.get(digest) != r]
        changed += [
            msgspec.structs.replace(r, revoked_s=now_s)
            for digest, r in self._known.items()
            if digest not in records
        ]
        self._known = records
        if changed:
            self.learn(Changes(0, (), tuple(changed)))

    def _open(self, secret: _Secret) -> Iterator[tuple[str, float | None]]:
        """Return the keys that open, and until when."""
        for key in secret.current.keys:
            yield key, None
        ends_s = secret.current.made_s + self.overlap_s
        if self.wall() < ends_s:
            for key in secret.previous.keys:
                if key not in secret.current.keys:
                    yield key, ends_s


class _Shape(msgspec.Struct):
    api_key: str | None = None
    api_keys: tuple[str, ...] = ()


def keys_in(text: str | None) -> tuple[str, ...]:
    """Return the keys that a secret's string holds.

    Raises:
        ValueError: there is none, or one that could not be sent as a key; the message has no part
            of it.
    """
    if text is None:
        raise ValueError("it is binary, not a string")
    found: tuple[str, ...] = (text.strip(),)
    if text.lstrip().startswith(("{", "[")):
        try:
            shape = msgspec.json.decode(text, type=_Shape)
        except (msgspec.DecodeError, UnicodeError):
            raise ValueError("its JSON has neither `api_key` nor `api_keys`") from None
        found = (*((shape.api_key,) if shape.api_key is not None else ()), *shape.api_keys)
    if not 0 < len(found) <= _MOST_KEYS:
        raise ValueError(f"it has {len(found)} keys, not 1 to {_MOST_KEYS}")
    for key in found:
        if not _LEAST_BYTES <= len(key) <= _MOST_BYTES or not key.isascii() or " " in key:
            raise ValueError(f"a key is not {_LEAST_BYTES} to {_MOST_BYTES} plain characters")
        if not key.isprintable():
            raise ValueError("a key has characters that cannot be sent")
    return tuple(dict.fromkeys(found))


def make_client(region: str | None, endpoint: str | None) -> SecretsClient:
    """Return boto3's client; credentials are found as AWS' tools find them."""
    waits = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    client: SecretsClient = boto3.client(
        "secretsmanager", region_name=region, endpoint_url=endpoint, config=waits
    )
    return client


def _record(key: str, tenant: str, ends_s: float | None) -> KeyRecord:
    digest = digest_of(key.encode()).hex()
    return KeyRecord(
        id=f"aws-{digest[:12]}",
        digest=digest,
        hint="",
        tenant=tenant,
        label="AWS Secrets Manager",
        expires_s=ends_s,
        source="aws",
    )


def _cause(error: Exception) -> str:
    """Return the kind of a failure; AWS' own words may repeat what was sent."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "refused"))
    return str(error) if isinstance(error, ValueError) else type(error).__name__
