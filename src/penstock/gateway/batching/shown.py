"""Files and batches as OpenAI's clients know them, and the pages of their lists."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from penstock.ground.errors import RequestError
from penstock.registry.batches.records import BatchRecord, FileRecord
from penstock.registry.stores.pages import Page

T = TypeVar("T", FileRecord, BatchRecord)
_MOST = 100
_FEW = 20


def file_shown(record: FileRecord) -> dict[str, object]:
    """Return OpenAI's `file`."""
    return {
        "id": record.id,
        "object": "file",
        "bytes": record.size_bytes,
        "created_at": int(record.created_s),
        "expires_at": int(record.expires_s),
        "filename": record.name,
        "purpose": record.purpose,
        "status": "processed",
        "status_details": None,
    }


def batch_shown(record: BatchRecord) -> dict[str, object]:
    """Return OpenAI's `batch`."""
    done = record.completed, record.failed
    return {
        "id": record.id,
        "object": "batch",
        "endpoint": record.endpoint,
        "errors": msgspec.Raw(record.errors.encode()) if record.errors else None,
        "input_file_id": record.input_file_id,
        "completion_window": "24h",
        "status": record.status,
        "output_file_id": record.output_file_id,
        "error_file_id": record.error_file_id,
        "created_at": int(record.created_s),
        "in_progress_at": _whole(record.in_progress_s),
        "expires_at": int(record.expires_s),
        "finalizing_at": _whole(record.finalizing_s),
        "completed_at": _whole(record.completed_s),
        "failed_at": _whole(record.failed_s),
        "expired_at": _whole(record.expired_s),
        "cancelling_at": _whole(record.cancelling_s),
        "cancelled_at": _whole(record.cancelled_s),
        "request_counts": {"total": record.total, "completed": done[0], "failed": done[1]},
        "metadata": msgspec.Raw(record.metadata.encode()) if record.metadata else None,
    }


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)


def page_shown(
    rows: Sequence[T], page: Page, show: Callable[[T], dict[str, object]]
) -> dict[str, object]:
    """Return OpenAI's `list` of `rows`, which are one more than the page holds if there is one."""
    held = rows[: page.limit]
    return {
        "object": "list",
        "data": [show(row) for row in held],
        "first_id": held[0].id if held else None,
        "last_id": held[-1].id if held else None,
        "has_more": len(rows) > page.limit,
    }


def page_in(asked: Mapping[str, str], known: Sequence[str] = ()) -> Page:
    """Read `after`, `limit` and `order`; `known` are further parameters of the address.

    Raises:
        RequestError: one is not known, or wrong.
    """
    for name in asked:
        if name not in ("after", "limit", "order", *known):
            raise RequestError(
                f"`{name[:50]}` is not known here", param=name[:50], code="unknown_parameter"
            )
    limit, order = asked.get("limit", str(_FEW)), asked.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and int(limit) > 0):
        raise _wrong("limit", f"it must be a number from 1 to {_MOST}")
    if order not in ("asc", "desc"):
        raise _wrong("order", "it must be `asc` or `desc`")
    return Page(asked.get("after"), min(_MOST, int(limit)), order == "desc")


def _wrong(name: str, why: str) -> RequestError:
    return RequestError(f"`{name}` is wrong", why=why, param=name, code="invalid_value")


def life_in(seconds: object, anchor: object, most_s: float, name: str) -> float:
    """Read how long a file is kept.

    Raises:
        RequestError: that is too short or too long, or counted from something else.
    """
    if anchor != "created_at":
        raise _wrong(f"{name}[anchor]", "it must be `created_at`")
    try:
        told = float(str(seconds)) if not isinstance(seconds, bool) else 0.0
    except ValueError:
        told = 0.0
    if not 3600 <= told <= most_s:
        raise _wrong(f"{name}[seconds]", f"it must be from 3600 to {most_s:.0f}")
    return told
