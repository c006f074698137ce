"""The sections of `penstock.yaml` on what is kept of requests and answers."""

from typing import Literal

from pydantic import Field

from penstock.manifest.references import Secret
from penstock.manifest.section import Name, Section


class Cache(Section):
    """Answers that are kept, and given again to the same question of the same tenant."""

    store: Literal["none", "memory", "valkey"] = "none"
    """`none`: nothing is kept; `memory`: each gateway keeps its own; `valkey`: all share what the
    server of `registry.counters` keeps."""
    models: tuple[str, ...] = Field(default=(), examples=[["org-a"]])
    """Models and adapters whose answers are kept unasked, where the question repeats exactly
    (temperature 0 or a seed); `*` is all. Other requests ask for it themselves."""
    tools: bool = False
    """Whether answers are kept in which tools had a part."""
    ttl_s: float = Field(default=3600, gt=0)
    """How long an answer is kept, seconds."""
    max_ttl_s: float = Field(default=86_400, gt=0)
    """How long a request may ask for its answer to be kept, seconds."""
    max_entries: int = Field(default=10_000, ge=1)
    """Answers in one gateway's memory; the least recently used leave first."""
    max_mib: float = Field(default=64, gt=0)
    """Room for answers in one gateway's memory, MiB."""
    max_answer_bytes: int = Field(default=262_144, ge=1024)
    """Longest answer that is kept, bytes of its JSON."""
    key: Secret | None = Field(default=None, examples=["${env:CACHE_KEY}"])
    """Reference to the key (32 bytes or more) that seals answers in Valkey; all gateways have
    the same one."""


class Audit(Section):
    """Who asked what, when: a line a request, which nobody can alter unseen."""

    to: str | None = Field(default=None, min_length=1, examples=["s3://my-bucket/audit"])
    """A folder, or `s3://BUCKET/PREFIX`; none means that nothing is audited."""
    content: Literal["none", "prompts", "full"] = "none"
    """What is written of what was said: nothing, prompts, or prompts and answers; redacted."""
    max_content_bytes: int = Field(default=65_536, ge=256, le=1_048_576)
    """Most that is written of one prompt or answer, bytes of its JSON; more is cut and marked."""
    client_addresses: bool = False
    """Whether the addresses of clients are written."""
    redact: tuple[str, ...] = Field(
        default=("email", "phone", "card", "aws_key", "api_key"), examples=[["email", "card"]]
    )
    """Built-in rules for what is taken out: email, phone, card, aws_key, api_key."""
    patterns: dict[Name, str] = Field(default_factory=dict, examples=[{"patient": "P-[0-9]{6}"}])
    """Further rules by name: patterns of RE2 (no back-references, no look-around)."""
    key: Secret | None = Field(default=None, examples=["${env:AUDIT_KEY}"])
    """Reference to the key (32 bytes in hexadecimal or base64) that seals the audit."""
    key_file: str | None = Field(default=None, min_length=1, examples=["./audit.key"])
    """Path of a file with that key."""
    kms_key: str | None = Field(default=None, min_length=1, examples=["alias/audit"])
    """Id, ARN or alias of a key of AWS KMS that seals the audit."""
    lock: Literal["none", "governance", "compliance"] = "none"
    """S3 object lock of what is shipped; the bucket must allow it."""
    lock_days: int = Field(default=365, ge=1)
    """How long the lock holds, days."""
    segment_mib: float = Field(default=16, gt=0)
    """Size at which the next segment begins, MiB."""
    segment_s: float = Field(default=300, gt=0)
    """Age at which the next segment begins, seconds; S3 is so far behind at most."""
    sync_s: float = Field(default=1, ge=0)
    """How often what was written is forced to the disk, seconds."""
    max_spool_mib: float = Field(default=512, ge=32)
    """Most that may wait to be written, MiB; beyond it requests are refused (503)."""
