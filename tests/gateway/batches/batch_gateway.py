"""Gateways with files and batches, and batches as the official SDK makes them."""

import io
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from openai import OpenAI
from openai.types import Batch
from tests.fakes.counting_engine import CountingEngine
from tests.gateway.gateway_process import chat_body
from tests.gateway.registry_gateway import registry_settings

from penstock.gateway.settings import BatchSettings, Settings

DONE = ("completed", "failed", "expired", "cancelled")


def batch_settings(
    engines: Mapping[str, str], folder: Path, database: str | None = None, **more: Any
) -> Settings:
    """Settings of a gateway that keeps files in `folder`; `more` are of its batches."""
    told = BatchSettings(str(folder / "files"), **{"lease_s": 4.0, "share": 1.0, **more})
    plain = registry_settings(engines, folder / "slots", database or str(folder / "r.db"))
    return msgspec.structs.replace(plain, batches=told)


def line(custom_id: str, prompt: str = "hi", **more: object) -> dict[str, Any]:
    """A line of a batch's file."""
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": chat_body(prompt, max_tokens=4, **more),
    }


def upload(client: OpenAI, lines: Iterable[object]) -> str:
    """Upload lines; returns the file's id."""
    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    file = io.BytesIO(text.encode())
    return client.files.create(file=("in.jsonl", file), purpose="batch").id


def start(client: OpenAI, lines: Iterable[object]) -> Batch:
    """Upload lines and make a batch of them."""
    return client.batches.create(
        input_file_id=upload(client, lines),
        endpoint="/v1/chat/completions",
        completion_window="24h",
    )


def wait_for(
    client: OpenAI, batch_id: str, statuses: Iterable[str] = DONE, limit_s: float = 60
) -> Batch:
    """Wait until a batch has one of these statuses."""
    deadline = time.monotonic() + limit_s
    while (batch := client.batches.retrieve(batch_id)).status not in statuses:
        assert batch.status not in DONE, batch
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)
    return batch


def rows(client: OpenAI, file_id: str | None) -> dict[str, Any]:
    """The lines of a file by custom id, each of which must be there once."""
    if file_id is None:
        return {}
    text = client.files.content(file_id).text
    found = [json.loads(each) for each in text.splitlines()]
    by_id = {row["custom_id"]: row for row in found}
    assert len(by_id) == len(found), "a custom id came twice"
    return by_id


def check_ledger(told: dict[str, dict[str, Any]], engine: CountingEngine) -> None:
    """The ledger has what the engine was asked, and nothing else.

    A gateway that is killed takes along what the engine has not yet read from its connection.
    """
    assert engine.journal.keys() <= told.keys()
    unread = told.keys() - engine.journal.keys()
    assert {told[name]["outcome"] for name in unread} <= {"gateway_died"}
