"""What a gateway process is told at its start: plain data, read from one JSON file.

The manifest is translated into this by `wiring/local.py`, so that the gateway starts without YAML,
pydantic or Typer. The file holds digests of keys, never keys.
"""

from pathlib import Path
from typing import Literal

import msgspec

from penstock.chat.tools.described import SourceSettings
from penstock.gateway.identity_settings import KeySourceSettings
from penstock.gateway.routing.settings import BreakerSettings, RoutingSettings
from penstock.registry.records import (
    Budgets,
    KeyRecord,
    Limits,
    Policy,
    Price,
    Share,
    TenantRecord,
)


class WakeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How requests for an engine without a copy are held; see `gateway/sleep.py`."""

    timeout_s: float = 600.0
    """How long a request is held at most; 0 holds none."""
    look_every_s: float = 10.0
    max_held: int = 1000
    heartbeat_s: float | None = None
    by: Literal["refusal", "copies"] = "refusal"
    """What wakes it: the refused request by its alarm, or one call that asks for a copy."""


class SageMakerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An endpoint of SageMaker, or one inference component on it."""

    endpoint: str
    region: str
    component: str | None = None
    wake: WakeSettings = WakeSettings()


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One engine: its address and how to see that it lives."""

    name: str
    url: str
    probe: str = "/health"
    key_env: str | None = None
    """Environment variable that holds the key this engine asks for."""
    usd_per_hour: float = 0.0
    """What it costs as long as it runs, whatever it does."""
    sagemaker: SageMakerSettings | None = None
    """The endpoint that is asked, by a token made here; its models need `upstream: ""` and
    `routing`. An empty `url` means the region's own address."""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One name that clients may ask for, and the engines that serve it under that name."""

    name: str
    engines: tuple[str, ...]
    parent: str | None = None
    context: int | None = None
    price: Price = Price()
    limits: Limits = Limits()
    tools_format: str | None = None
    """How calls stand in the engines' text; none means that the engines parse them."""
    verify_answers: bool = False
    """Whether answers are judged by the request's `response_format`."""
    takes_formats: bool = True
    """Whether its engines know `response_format`; where they do not, it is refused."""
    version: str = ""
    """Which weights answer under this name; answers of others are never given from a cache."""
    upstream: str | None = None
    """Name under which its engines know it, where that is another one; it needs `routing`. Empty
    where the address says it all, as with SageMaker."""
    elsewhere: bool = False
    """Whether its engines are somebody else's: the gateway is ready without them."""
    routing: RoutingSettings | None = None
    """None: its engine with the least work answers, and nothing else."""


class TenantSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one tenant may use; `*` in `models` is all."""

    name: str
    models: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ()
    requests_per_second: float = 50.0
    burst: int = 100
    requests_per_day: int = 10_000
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    max_tokens: int | None = None
    budgets: Budgets = Budgets()
    share: Share = Share()

    def record(self) -> TenantRecord:
        """Return it as the registry knows it."""
        limits = Limits(
            requests_per_second=self.requests_per_second,
            burst=self.burst,
            requests_per_day=self.requests_per_day,
            tokens_per_minute=self.tokens_per_minute,
            concurrent_requests=self.concurrent_requests,
            max_tokens=self.max_tokens,
        )
        policy = Policy(self.models, self.tools, limits, self.budgets, self.share)
        return TenantRecord(self.name, policy, source="manifest")


class KeySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One API key: SHA-256 in hex, its visible beginning and its tenant."""

    digest: str
    hint: str
    tenant: str

    def record(self, label: str = "") -> KeyRecord:
        """Return it as the registry knows it."""
        key_id = f"key-{self.digest[:12]}"
        return KeyRecord(
            key_id, self.digest, self.hint, self.tenant, label=label, source="manifest"
        )


class ToolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of the tool loop and settings of the built-in tools."""

    weather_url: str | None = None
    database: str | None = None
    max_rounds: int = 5
    call_timeout_s: float = 10.0
    turn_timeout_s: float = 120.0
    max_result_bytes: int = 16_384
    approval_timeout_s: float = 900.0
    """How long the answer to an approval is waited for, seconds."""
    continuation_key_env: str | None = None
    """Environment variable with the key that signs continuations; none means a random key."""
    sources: tuple[SourceSettings, ...] = ()


class RegistrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where tenants, keys and usage are kept."""

    folder: str
    """Slot files of the gateways of this machine: usage on its way to the ledger."""
    database: str | None = None
    """Path of an SQLite file, or URL of a PostgreSQL database without a password in it."""
    database_env: str | None = None
    """Environment variable that holds the URL."""
    counters_env: str | None = None
    """Environment variable with the URL of the Valkey or Redis server that counts limits for all
    gateways; none: each counts for itself."""
    space: str = "penstock"
    """Which gateways count together there."""
    stack: str = ""
    """Label of the keys that the settings hold: at its next start a stack revokes those that it
    made before, and no other's."""
    own_process: bool = False
    """Whether entries are written by a process of its own, beside the gateway's."""


class QueueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fair queue: how many run at an engine, and how long and how many wait for that."""

    max_running: int
    max_wait_s: float = 30.0
    max_waiting: int = 1000
    max_waiting_per_tenant: int = 200


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where answers are kept, and for how long; see `manifest/model.py`."""

    store: Literal["memory", "valkey"] = "memory"
    models: tuple[str, ...] = ()
    tools: bool = False
    ttl_s: float = 3600.0
    max_ttl_s: float = 86_400.0
    max_entries: int = 10_000
    max_bytes: int = 64 * 1024 * 1024
    max_answer_bytes: int = 262_144
    key_env: str | None = None
    """Environment variable with the key that seals answers in Valkey."""


class TracingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where spans are sent, and which share of the traces that begin here."""

    endpoint: str | None = None
    """Base address of an OTLP/HTTP receiver; none means where OpenTelemetry's variables say."""
    share: float = 1.0


class AuditSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is audited, where that goes and how it is sealed; see `manifest/archive.py`."""

    folder: str
    """Spools and chains of the gateways of this machine."""
    bucket: str | None = None
    """`s3://bucket/prefix` that segments are shipped to."""
    lock: Literal["none", "governance", "compliance"] = "none"
    lock_days: int = 0
    content: Literal["none", "prompts", "full"] = "none"
    max_content_bytes: int = 65_536
    client_addresses: bool = False
    redact: tuple[str, ...] = ()
    patterns: dict[str, str] = {}
    key_env: str | None = None
    key_file: str | None = None
    kms_key: str | None = None
    segment_bytes: int = 16 * 1024 * 1024
    segment_s: float = 300.0
    sync_s: float = 1.0
    max_spool_bytes: int = 512 * 1024 * 1024


class BatchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where files lie and how batches run; see `manifest/batches.py`."""

    folder: str
    """What files of S3 are fetched into; without a `bucket` the files themselves."""
    bucket: str | None = None
    """`s3://bucket/prefix` of the files."""
    max_file_bytes: int = 104_857_600
    upload_timeout_s: float = 600.0
    max_lines: int = 50_000
    quota_bytes: int = 1_073_741_824
    life_s: float = 2_592_000.0
    at_once: int = 4
    share: float = 0.5
    places: int = 8
    max_active: int = 100
    window_s: float = 86_400.0
    """How long a batch may take."""
    lease_s: float = 15.0
    """A batch whose gateway has not been heard of for so long is taken over."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything one gateway process needs to know."""

    engines: tuple[EngineSettings, ...]
    models: tuple[ModelSettings, ...]
    tenants: tuple[TenantSettings, ...]
    keys: tuple[KeySettings, ...]
    tools: ToolSettings = ToolSettings()
    host: str = "127.0.0.1"
    port: int = 8080
    max_body_bytes: int = 4_194_304
    max_header_bytes: int = 32_768
    request_timeout_s: float = 600.0
    body_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    drain_s: float = 10.0
    registry: RegistrySettings | None = None
    """None: nothing is kept, and there are no budgets and no admin API."""
    cache: CacheSettings | None = None
    """None: no answer is kept."""
    tracing: TracingSettings = TracingSettings()
    audit: AuditSettings | None = None
    """None: nothing is audited."""
    admin: str | None = None
    """SHA-256 of the key of the admin API, in hex."""
    admin_env: str | None = None
    """Environment variable with that key itself, where nobody knows it beforehand."""
    breaker: BreakerSettings = BreakerSettings()
    key_sources: KeySourceSettings = KeySourceSettings()
    metrics_open: bool = True
    """Whether `/metrics`, which names all tenants, is shown without an admin key."""
    queue: QueueSettings | None = None
    """None: requests go to the engines at once, which queue them."""
    batches: BatchSettings | None = None
    """None: no files are kept, and no batches run; they need a registry."""


def read_settings(path: Path) -> Settings:
    """Read the settings file.

    Raises:
        msgspec.ValidationError: the file is not what `wiring/local.py` writes.
    """
    return msgspec.json.decode(path.read_bytes(), type=Settings)


def listening_at(settings: Settings, place: str) -> Settings:
    """Return the settings with another `host:port`, such as `PENSTOCK_LISTEN` names."""
    host, _, port = place.rpartition(":")
    return msgspec.structs.replace(settings, host=host, port=int(port))
