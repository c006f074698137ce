"""`penstock up` as a new user runs it: up, a chat, a look around, down, and nothing left."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

PENSTOCK = str(Path(sys.executable).with_name("penstock"))


def penstock(
    folder: Path, *arguments: str, code: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`."""
    done = subprocess.run(
        [PENSTOCK, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert code is None or done.returncode == code, done.stderr
    return done


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every living process that works in `folder`, or was told of it."""
    found = []
    for process in psutil.process_iter():
        try:
            told = str(folder) in " ".join(process.cmdline()) or process.cwd() == str(folder)
            if told and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def wait_for_none(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while left := processes_of(folder):
        assert time.monotonic() < deadline, [process.cmdline() for process in left]
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("project")
    yield folder
    penstock(folder, "down", code=None)
    for process in processes_of(folder):
        process.kill()


@pytest.fixture(scope="module")
def running(folder: Path) -> dict[str, Any]:
    """What `up` says of the stack it started."""
    done = penstock(folder, "up", "--detach", "--json", "--port", "0")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_up_says_all_that_is_needed(running: dict[str, Any]) -> None:
    assert set(running) >= {"url", "api_key", "model"}
    assert httpx.get(f"{running['url']}/ready", timeout=60).status_code == 200
    assert httpx.get(f"{running['url']}/v1/models", timeout=60).status_code == 401


@pytest.fixture
def client(running: dict[str, Any]) -> Iterator[openai.OpenAI]:
    url = f"{running['url']}/v1"
    with openai.OpenAI(base_url=url, api_key=running["api_key"], max_retries=0) as client:
        yield client


def test_the_sdk_chats_with_it(client: openai.OpenAI, running: dict[str, Any]) -> None:
    assert [model.id for model in client.models.list()] == [running["model"]]
    answer = client.chat.completions.create(
        model=running["model"], messages=[{"role": "user", "content": "Hello!"}], temperature=0
    )
    assert answer.choices[0].message.content
    stream = client.chat.completions.create(
        model=running["model"],
        messages=[{"role": "user", "content": "Hello!"}],
        temperature=0,
        stream=True,
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(pieces) == answer.choices[0].message.content


def test_the_sdk_has_a_batch_answered(
    client: openai.OpenAI, folder: Path, running: dict[str, Any]
) -> None:
    body = {"model": running["model"], "messages": [{"role": "user", "content": "Hello!"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file = client.files.create(file=("a.jsonl", json.dumps(line).encode()), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    deadline = time.monotonic() + 60
    while (batch := client.batches.retrieve(made.id)).status != "completed":
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
    assert client.files.content(batch.output_file_id or "").text.count('"custom_id":"a"') == 1
    assert (folder / ".penstock" / "batches" / "files" / file.id).exists()


def test_it_is_seen_by_the_other_commands(folder: Path, running: dict[str, Any]) -> None:
    status = json.loads(penstock(folder, "status", "--json").stdout)
    assert status["running"] is True
    assert status["url"] == running["url"]
    assert {service["name"] for service in status["services"]} == {"engine", "gateway"}
    for service in status["services"]:
        assert psutil.pid_exists(service["pid"])
    logs = penstock(folder, "logs").stdout
    assert "gateway: " in logs
    assert "engine: " in logs
    assert running["api_key"] not in logs
    told = json.loads(penstock(folder, "invoke", "Hello!", "--json").stdout)
    assert told["choices"][0]["message"]["content"]


def test_a_second_one_is_refused(folder: Path, running: dict[str, Any]) -> None:
    done = penstock(folder, "up", "--detach", "--json", "--port", "0", code=None)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert httpx.get(f"{running['url']}/ready", timeout=60).status_code == 200


def test_keys_are_not_written_where_others_read(folder: Path, running: dict[str, Any]) -> None:
    for place, _, names in os.walk(folder / ".penstock"):
        for file in (Path(place, name) for name in names):
            with suppress(FileNotFoundError):  # it was renamed or removed meanwhile
                if running["api_key"].encode() in file.read_bytes():
                    assert file.stat().st_mode & 0o077 == 0, file


def test_a_killed_engine_comes_back(
    client: openai.OpenAI, folder: Path, running: dict[str, Any]
) -> None:
    before = json.loads(penstock(folder, "status", "--json").stdout)["services"]
    engine = next(service for service in before if service["name"] == "engine")
    psutil.Process(engine["pid"]).kill()
    deadline = time.monotonic() + 60
    while not _answers(client, running["model"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _answers(client: openai.OpenAI, model: str) -> bool:
    try:
        client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hello!"}]
        )
    except openai.InternalServerError as error:
        if error.status_code not in (502, 503):
            raise
        return False
    return True


def test_down_leaves_nothing(folder: Path, running: dict[str, Any]) -> None:
    assert processes_of(folder)
    assert json.loads(penstock(folder, "down", "--json").stdout)["stopped"] is True
    wait_for_none(folder)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{running['url']}/health", timeout=60)
    status = penstock(folder, "status", "--json", code=1)
    assert json.loads(status.stdout)["running"] is False
    assert json.loads(penstock(folder, "down", "--json").stdout)["stopped"] is False
