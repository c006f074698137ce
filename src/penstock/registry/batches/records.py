"""What is known of a file and of a batch, beside its contents: plain data, a row each."""

import re
import secrets
from dataclasses import dataclass
from typing import Literal

PURPOSE = "batch"
OUTPUT = "batch_output"
"""Purposes of files: what is uploaded, and what a batch has made."""
ID = re.compile(r"(?:file|batch)[-_][0-9a-f]{24}")
"""What files and batches are called, whole: nothing else is ever looked for."""

Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
ACTIVE: tuple[Status, ...] = ("validating", "in_progress", "finalizing", "cancelling")
"""Statuses of batches that somebody has to see to."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a tenant. Field order is the table's column order; times are Unix times.

    `is_whole` is false while it is being uploaded: then it is nobody's yet, but its bytes count.
    """

    id: str
    tenant: str
    name: str
    purpose: str
    size_bytes: int
    created_s: float
    expires_s: float
    is_whole: bool


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One batch of a tenant. Field order is the table's column order; times are Unix times.

    `digest` is that of the key which made it. `owner` is the gateway that runs it, empty for
    none; `beat` is counted up as long as that one lives, `generation` whenever another takes over.
    `errors` and `metadata` are JSON.
    """

    id: str
    tenant: str
    key_id: str
    digest: str
    endpoint: str
    input_file_id: str
    status: Status
    created_s: float
    expires_s: float
    output_life_s: float
    metadata: str
    errors: str = ""
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_s: float | None = None
    finalizing_s: float | None = None
    completed_s: float | None = None
    failed_s: float | None = None
    expired_s: float | None = None
    cancelling_s: float | None = None
    cancelled_s: float | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    owner: str = ""
    beat: int = 0
    generation: int = 0


def new_file_id() -> str:
    """Return an id that no other file has."""
    return f"file-{secrets.token_hex(12)}"


def new_batch_id() -> str:
    """Return an id that no other batch has."""
    return f"batch_{secrets.token_hex(12)}"
