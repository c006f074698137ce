"""The audit over real sockets: who asked what, what is written of it, what a kill leaves."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import msgspec
import pytest
from moto.server import ThreadedMotoServer
from tests.fakes.gateway_answers import call_events, chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import Act, ScriptedEngine, wait_until
from tests.gateway.gateway_process import ALICE, BOB, TINY, GatewayProcess, chat_body
from tests.gateway.registry_gateway import ADMIN, admin, entries_when, registry_settings

from penstock.gateway.settings import AuditSettings, CacheSettings, Settings
from penstock.registry.audit.bucket import Bucket
from penstock.registry.audit.reading import Chains, Folder, Keys, entries
from penstock.registry.audit.redaction import RULES
from penstock.registry.audit.sealing import LocalKey
from penstock.registry.audit.verify import verify
from penstock.targets.local.ports import free_port

KEY = bytes(range(32))
WORDS = [f"w{number}" for number in range(8)]


def audited(engine: ScriptedEngine, root: Path, **more: Any) -> Settings:
    settings = registry_settings({"engine": engine.url}, root, str(root / "r.db"))
    (root / "audit.key").write_text(KEY.hex())
    fields: dict[str, Any] = {"key_file": str(root / "audit.key"), "redact": RULES, **more}
    return msgspec.structs.replace(settings, audit=AuditSettings(str(root / "audit"), **fields))


def lines(root: Path) -> list[dict[str, Any]]:
    """Every entry; the audit must be whole."""
    key = Keys(LocalKey(KEY))
    chains = Chains(Folder(root / "audit"))
    report = verify(chains, key)
    assert report.findings == []
    assert report.opened == report.sealed == report.entries
    return [json.loads(each) for each in entries(chains, key)]


def lines_when(root: Path, true: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 60
    while not true(found := lines(root)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


@pytest.fixture
def gateway(tmp_path: Path, engine: ScriptedEngine) -> Iterator[GatewayProcess]:
    with GatewayProcess(audited(engine, tmp_path, content="full")) as process:
        yield process


# What is written


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_a_line(
    gateway: GatewayProcess, engine: ScriptedEngine, tmp_path: Path, stream: bool
) -> None:
    engine.play(
        streamed(chat_events(["Hello ", "you"])) if stream else plain(completion("Hello you"))
    )
    answer = gateway.chat("my mail is a@b.de", stream=stream)
    (line,) = lines_when(tmp_path, len)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["kind"], line["tenant"], line["model"]) == ("request", "bob", "scripted")
    assert (line["engine"], line["outcome"], line["path"]) == (
        "engine",
        "complete",
        "/v1/chat/completions",
    )
    assert (line["prompt_tokens"], line["completion_tokens"]) == (7, 3)
    assert line["cost_nano_usd"] == 13_000
    assert line["prompt"]["messages"][0]["content"] == "my mail is [email]"
    assert line["answer"]["choices"][0]["message"]["content"] == "Hello you"
    assert "client" not in line
    assert BOB not in json.dumps(line)


@pytest.mark.parametrize(("content", "has"), [("none", set()), ("prompts", {"prompt"})])
def test_only_what_was_told_is_written_of_contents(
    engine: ScriptedEngine, tmp_path: Path, content: str, has: set[str]
) -> None:
    with GatewayProcess(audited(engine, tmp_path, content=content, client_addresses=True)) as one:
        one.chat()
        (line,) = lines_when(tmp_path, len)
    assert line.keys() & {"prompt", "answer"} == has
    assert line["client"] == "127.0.0.1"


def test_long_contents_are_cut_and_marked(engine: ScriptedEngine, tmp_path: Path) -> None:
    engine.play(plain(completion("y" * 5000)))
    with GatewayProcess(audited(engine, tmp_path, content="full", max_content_bytes=300)) as one:
        one.chat("x" * 5000)
        (line,) = lines_when(tmp_path, len)
    assert line["cut"] == ["prompt", "answer"]
    assert len(line["prompt"]) == len(line["answer"]) == 300


SCRIPTS: list[tuple[Any, str]] = [
    ([Act.DIE], "engine_died"),
    ([*streamed(chat_events(WORDS))[:4], Act.DIE], "engine_died"),
    (plain({"error": {"message": "no", "type": "x"}}, "400 Bad Request"), "engine_refused"),
]


@pytest.mark.parametrize(("script", "outcome"), SCRIPTS)
def test_failures_are_lines(
    gateway: GatewayProcess, engine: ScriptedEngine, tmp_path: Path, script: Any, outcome: str
) -> None:
    engine.play(script)
    gateway.chat(stream=True)
    (line,) = lines_when(tmp_path, len)
    assert line["outcome"] == outcome


@pytest.mark.parametrize("content", ["none", "full"])
def test_refusals_are_lines_and_strangers_are_not(
    engine: ScriptedEngine, tmp_path: Path, content: str
) -> None:
    with GatewayProcess(audited(engine, tmp_path, content=content)) as gateway:
        assert gateway.chat(key="ps-nobody").status_code == 401
        assert gateway.chat(model="none").status_code == 404
        engine.stop()
        wait_until(lambda: gateway.metric("penstock_engine_up") == 0)
        assert gateway.chat().status_code == 503
        found = lines_when(tmp_path, lambda found: len(found) == 2)
        engine.start()
    first, last = found[0], found[-1]
    assert (first["outcome"], first["tenant"], first["model"]) == ("refused", "bob", "none")
    assert first["note"] == "model_not_found"
    assert (last["model"], last["note"]) == ("scripted", "engine_unavailable")


def test_what_a_limit_refuses_is_a_line_that_names_it(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    """Of four requests, to the model and to tools, the limit of three lets in none of the last."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "sum"}}
    headers = {"x-api-key": TINY}
    assert [gateway.chat(key=TINY).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert (
        httpx.post(f"{gateway.url}/mcp", json=call, headers=headers, timeout=60).status_code == 429
    )
    found = lines_when(tmp_path, lambda found: len(found) == 5)
    refused = {line["kind"]: line for line in found if line["outcome"] == "refused"}
    assert refused.keys() == {"request", "tool"}
    rows = entries_when(gateway, lambda rows: len(rows) == 5)
    for line in refused.values():
        row = rows[line["request_id"]]
        assert (row["outcome"], row["tenant"], row["kind"]) == ("refused", "tiny", line["kind"])
        assert row["note"] == "0.01 requests a second, 3 at once (tenant:tiny)" == line["note"]


def test_a_client_that_leaves_is_a_line_with_what_it_got(
    gateway: GatewayProcess, engine: ScriptedEngine, tmp_path: Path
) -> None:
    answer = streamed(chat_events(WORDS))
    engine.play([*answer[:4], Act.WAIT, *answer[4:]])
    body = json.dumps(chat_body(stream=True)).encode()
    with gateway.connect() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nx-api-key: %b\r\n"
                    b"content-length: %d\r\n\r\n%b" % (BOB.encode(), len(body), body))  # fmt: skip
        client.read_until(b"w1")
    (line,) = lines_when(tmp_path, len)
    assert line["outcome"] == "client_gone"
    assert line["answer"]["choices"][0]["message"]["content"].startswith("w0w1")


def test_tools_and_invoke_are_lines(
    gateway: GatewayProcess, engine: ScriptedEngine, tmp_path: Path
) -> None:
    call = call_events(("call-1", "calculate_math", '{"expression": "2+3"}'))
    engine.play(streamed(call), streamed(chat_events(["It is 5"])))
    answer = gateway.post("/invoke", {"prompt": "2+3?"}, ALICE)
    assert answer.json()["generated_text"] == "It is 5"
    found = {line["kind"]: line for line in lines_when(tmp_path, lambda found: len(found) == 2)}
    tool, request = found["tool"], found["request"]
    assert (tool["tool"], tool["outcome"]) == ("calculate_math", "ok")
    assert tool["request_id"] == f"{request['request_id']}/1"
    assert (request["path"], request["outcome"]) == ("/invoke", "complete")
    assert request["answer"] == {"generated_text": "It is 5"}


def test_hits_of_the_cache_are_lines(engine: ScriptedEngine, tmp_path: Path) -> None:
    settings = audited(engine, tmp_path, content="full")
    settings = msgspec.structs.replace(settings, cache=CacheSettings())
    headers = {"authorization": f"Bearer {BOB}", "x-penstock-cache": "on"}
    with GatewayProcess(settings) as gateway:
        url = f"{gateway.url}/v1/chat/completions"
        for _ in range(2):
            httpx.post(url, json=chat_body(), headers=headers, timeout=60)
            wait_until(lambda: gateway.metric("penstock_cache_entries") == 1)
        found = lines_when(tmp_path, lambda found: len(found) == 2)
    assert [line["outcome"] for line in found] == ["complete", "from_cache"]
    assert found[0]["answer"] == found[1]["answer"]


def test_what_administrators_do_is_written_and_no_secret_of_it(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    made = admin(gateway, "POST", "/keys", {"tenant": "bob", "label": "ci"}).json()
    admin(gateway, "DELETE", f"/keys/{made['id']}")
    admin(gateway, "POST", "/tenants", {"name": "..."})
    admin(gateway, "GET", "/keys")
    assert admin(gateway, "DELETE", "/keys/x", key=BOB).status_code == 401
    found = lines_when(tmp_path, lambda found: len(found) == 3)
    assert [(line["action"], line["status"]) for line in found] == [
        ("create_key", 201),
        ("revoke_key", 200),
        ("create_tenant", 400),
    ]
    assert found[0]["details"] == {"tenant": "bob", "label": "ci"}
    assert found[1]["target"] == f"/admin/keys/{made['id']}"
    assert {line["key_id"] for line in found} == {"admin"}
    text = json.dumps(found)
    assert made["secret"] not in text
    assert ADMIN not in text


def test_no_secret_lies_in_any_file(
    gateway: GatewayProcess, engine: ScriptedEngine, tmp_path: Path
) -> None:
    """Neither keys nor what was said lie open in the sealed chains; keys lie nowhere at all."""
    engine.play(plain(completion("the-answer-is-secret")))
    gateway.chat("the-question-is-secret")
    lines_when(tmp_path, len)
    gateway.process.kill()  # no file is moved or removed from now on
    gateway.process.wait()
    chains = b"".join(
        path.read_bytes() for path in (tmp_path / "audit" / "chains").rglob("*") if path.is_file()
    )
    everything = b"".join(
        path.read_bytes() for path in (tmp_path / "audit").rglob("*") if path.is_file()
    )
    for said in (b"the-answer-is-secret", b"the-question-is-secret", b'"bob"'):
        assert said not in chains
    for key in (BOB, ADMIN, KEY.hex()):
        assert key.encode() not in everything


# What a kill leaves


async def load(gateway: GatewayProcess, seen: dict[str, str], *, stream: bool) -> None:
    """Ask until the gateway dies; `seen` gets how far every answer came, by request id."""

    async def ask(client: httpx.AsyncClient) -> None:
        while True:
            try:
                url = f"{gateway.url}/v1/chat/completions"
                headers = {"x-api-key": BOB}
                body = chat_body("hi", stream=stream)
                async with client.stream("POST", url, json=body, headers=headers) as answer:
                    name, text = answer.headers["x-request-id"], b""
                    seen[name] = "begun"
                    async for piece in answer.aiter_raw():
                        text += piece
                        if b"[DONE]" in text:
                            seen[name] = "complete"
                    if not stream:
                        seen[name] = "complete"
            except httpx.HTTPError:
                return

    async with httpx.AsyncClient(timeout=60) as client:
        await asyncio.gather(*(ask(client) for _ in range(16)))


@pytest.mark.parametrize(
    ("content", "own_process"), [("none", False), ("none", True), ("full", False)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_every_request_whose_end_was_seen_is_there_once_after_kills(
    engine: ScriptedEngine, tmp_path: Path, stream: bool, content: str, own_process: bool
) -> None:
    engine.play(streamed(chat_events(WORDS)) if stream else plain(completion()))
    settings = audited(engine, tmp_path, content=content, segment_bytes=20_000)
    assert settings.registry is not None
    registry = msgspec.structs.replace(settings.registry, own_process=own_process)
    settings = msgspec.structs.replace(settings, registry=registry)
    seen: dict[str, str] = {}

    async def run(gateway: GatewayProcess, seconds: float, enough: int) -> None:
        asking = asyncio.create_task(load(gateway, seen, stream=stream))
        await asyncio.sleep(seconds)
        # A busy machine needs longer.
        await asyncio.to_thread(
            wait_until, lambda: [*seen.values()].count("complete") > enough, 60
        )
        gateway.process.kill()
        await asking

    for seconds, enough in ((0.4, 10), (0.25, 20)):
        with GatewayProcess(settings) as gateway:
            asyncio.run(run(gateway, seconds, enough))
    asked = {each.headers["x-request-id"] for each in engine.asked}
    with GatewayProcess(settings) as heir:
        found = lines_when(tmp_path, lambda found: asked <= {line["request_id"] for line in found})
        ledger = entries_when(heir, lambda rows: asked <= rows.keys())
    by_id = {line["request_id"]: line for line in found}
    assert len(by_id) == len(found)
    complete = {name for name, how in seen.items() if how == "complete"}
    assert len(complete) > 20
    for name in complete:
        assert by_id[name]["outcome"] == "complete"
        if content == "full":
            assert by_id[name]["answer"]["choices"]
    for name, line in by_id.items():
        assert line["outcome"] in ("complete", "gateway_died")
        if name in complete:
            assert ledger[name]["outcome"] == line["outcome"]


def test_a_gateway_that_ends_well_leaves_no_spool(engine: ScriptedEngine, tmp_path: Path) -> None:
    with GatewayProcess(audited(engine, tmp_path)) as gateway:
        for _ in range(30):
            assert gateway.chat().status_code == 200
    assert list((tmp_path / "audit" / "spool").iterdir()) == []
    assert len(lines(tmp_path)) == 30
    report = verify(Chains(Folder(tmp_path / "audit")), Keys(LocalKey(KEY)))
    assert report.newer == 0


def test_the_metrics_tell_of_it(gateway: GatewayProcess, tmp_path: Path) -> None:
    gateway.chat()
    lines_when(tmp_path, len)
    wait_until(lambda: gateway.metric("penstock_audit_entries_total") == 1)
    assert gateway.metric("penstock_audit_spool_bytes") > 0
    assert gateway.metric("penstock_audit_failures_total", step="write") == 0


# To S3


def test_segments_reach_s3_after_an_outage_and_a_kill(
    engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens where S3 should be; the gateway is killed; its successor ships all."""
    port = free_port()
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing-secret"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}"),
    ):
        monkeypatch.setenv(name, value)
    settings = audited(
        engine, tmp_path, bucket="s3://audits/here", segment_s=0.2, lock="governance", lock_days=1
    )
    with GatewayProcess(settings) as gateway:
        asked = {gateway.chat().headers["x-request-id"] for _ in range(20)}
        wait_until(lambda: gateway.metric("penstock_audit_segments_waiting") > 0)
        asked |= {gateway.chat().headers["x-request-id"] for _ in range(20)}
        gateway.process.kill()
    server = ThreadedMotoServer(port=port, verbose=False)
    server.start()
    client = boto3.client("s3")
    client.create_bucket(
        Bucket="audits",
        ObjectLockEnabledForBucket=True,
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
    )
    try:
        with GatewayProcess(settings) as heir:
            asked.add(heir.chat().headers["x-request-id"])
        chains, key = Chains(Bucket("s3://audits/here")), Keys(LocalKey(KEY))
        assert verify(chains, key).findings == []
        found = [json.loads(each)["request_id"] for each in entries(chains, key)]
        assert sorted(found) == sorted(asked)
        assert list((tmp_path / "audit" / "chains").glob("*/*.jsonl")) == []
    finally:
        client.close()
        server.stop()
