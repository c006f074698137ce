"""A run of everything with a canary in every secret: none of them is found where it must not be.

Searched are the log, traces, metrics, every answer, the database, every file, the gateway's
settings and its command line. That secrets were used at all is seen where they had to arrive.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import msgspec
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import text
from tests.fakes.databases import Postgres, postgres
from tests.fakes.gateway_answers import call_events, chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import Act, ScriptedEngine, scripted_engine, wait_until
from tests.fakes.identity_provider import AUDIENCE, IdentityProvider, identity_provider
from tests.fakes.left_behind import keys_in
from tests.fakes.otlp_receiver import OtlpReceiver, otlp_receiver
from tests.gateway.batches.batch_gateway import line, rows, start, wait_for
from tests.gateway.gateway_process import GatewayProcess, chat_body, key_settings
from tests.gateway.registry_gateway import ADMIN, admin, entries, entries_when, registry_settings

from penstock.chat.tools.described import Operation, SourceSettings, TenantAccess
from penstock.gateway.identity_settings import AwsKeySettings, KeySourceSettings, OidcSettings
from penstock.gateway.settings import (
    AuditSettings,
    BatchSettings,
    CacheSettings,
    RegistrySettings,
    Settings,
    TenantSettings,
    ToolSettings,
    TracingSettings,
)
from penstock.registry import keys
from penstock.registry.records import Budgets
from penstock.registry.stores.database import Database
from penstock.registry.stores.tables import metadata

KEY_A, KEY_B = "ps-canary-key-of-alice", "ps-canary-key-of-bob"
PROMPT, ANSWER = "canary-in-the-prompt", "canary-in-the-answer"
QUESTION = json.dumps({"q": PROMPT})
ENVIRONMENT = {
    "ENGINE_KEY": "canary-of-the-engine",
    "TOOL_KEY": "canary-of-the-tool",
    "BOBS_TOOL_KEY": "canary-of-bobs-tool",
    "TURNS_KEY": "canary-of-continuations-is-long-enough",
    "AWS_ACCESS_KEY_ID": "canaryawsid",
    "AWS_SECRET_ACCESS_KEY": "canary-of-aws",
    "AUDIT_KEY": bytes(range(7, 39)).hex(),
}
AWS_KEYS = ("canary-of-aws-one", "canary-of-aws-two")
PASSWORD = "canary-of-the-database"
NEAR = f"{KEY_B}x"


class Everything:
    """A gateway with all there is, what it was told, and what it has answered."""

    gateway: GatewayProcess

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.folder, self.stack = folder, stack
        self.server: Postgres = stack.enter_context(postgres())
        self.engine: ScriptedEngine = stack.enter_context(scripted_engine())
        self.tool: ScriptedEngine = stack.enter_context(scripted_engine())
        self.provider: IdentityProvider = stack.enter_context(identity_provider())
        self.traces: OtlpReceiver = stack.enter_context(otlp_receiver())
        self.moto = ThreadedMotoServer(port=0, verbose=False)
        self.moto.start()
        host, port = self.moto.get_host_and_port()
        self.aws_url = f"http://{host}:{port}"
        aws = boto3.client("secretsmanager", region_name="eu-west-1", endpoint_url=self.aws_url)
        held = json.dumps({"api_keys": AWS_KEYS})
        aws.create_secret(Name="t/bob", SecretString=held)
        aws.close()
        url = self.server.make("secrets")
        self.url = url
        self.client = stack.enter_context(httpx.Client(timeout=60))
        self.answers: list[str] = []
        self.shown: list[str] = []

    def settings(self) -> Settings:
        plain_ones = registry_settings({"engine": self.engine.url}, self.folder, "")
        schema: dict[str, object] = {
            "type": "object",
            "properties": {"q": {"type": "string"}},
        }
        operation = Operation("crm_find", "Finds", "GET", "/find", schema, {"q": "query"})
        source = SourceSettings(
            "crm", operations=(operation,), url=self.tool.url, private=True, secret_env="TOOL_KEY",
            tenants={"bob": TenantAccess("BOBS_TOOL_KEY")},
        )  # fmt: skip
        tenants = [
            TenantSettings(name, tools=("crm", "calculate_math"), budgets=Budgets(usd_per_day=9))
            for name in ("alice", "bob")
        ]
        changes: dict[str, Any] = {
            "engines": [{"name": "engine", "url": self.engine.url, "key_env": "ENGINE_KEY",
                         "usd_per_hour": 1.0}],
            "tenants": msgspec.to_builtins(tenants),
            "keys": msgspec.to_builtins(
                [key_settings(KEY_A, "alice"), key_settings(KEY_B, "bob")]
            ),
            "tools": ToolSettings(sources=(source,), continuation_key_env="TURNS_KEY"),
            "registry": RegistrySettings(str(self.folder), database_env="DATABASE_URL"),
            "cache": CacheSettings(models=("*",)),
            "audit": AuditSettings(str(self.folder / "audit"), content="full",
                                   key_env="AUDIT_KEY"),
            "tracing": TracingSettings(self.traces.url),
            "batches": BatchSettings(str(self.folder / "files"), share=1.0),
            "key_sources": KeySourceSettings(
                AwsKeySettings("t/", "eu-west-1", self.aws_url, refresh_s=0.1),
                OidcSettings(self.provider.issuer, (AUDIENCE,)),
            ),
        }  # fmt: skip
        whole = {**msgspec.to_builtins(plain_ones), **msgspec.to_builtins(changes)}
        return msgspec.convert(whole, Settings)

    def ask(self, path: str, body: object = None, key: str = KEY_B, **headers: str) -> int:
        """Ask and keep the answer, all of it."""
        content = None if body is None else msgspec.json.encode(body)
        method = "GET" if body is None else "POST"
        told = {"authorization": f"Bearer {key}", **headers}
        answer = self.client.request(method, self.gateway.url + path, content=content,
                                     headers=told)  # fmt: skip
        text = answer.text.replace(PROMPT, "").replace(ANSWER, "")  # its own, and no secret to it
        self.answers.append(f"{answer.headers} {text}")
        return answer.status_code

    def chat(self, key: str = KEY_B, *, stream: bool = False, **more: object) -> int:
        body = chat_body(PROMPT, stream=stream, **more)
        return self.ask("/v1/chat/completions", body, key)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        everything = Everything(stack, tmp_path_factory.mktemp("canaries"))
        secret_url = everything.url.replace("penstock@", f"penstock:{PASSWORD}@")
        patch.setenv("DATABASE_URL", secret_url)
        with _running(everything):
            _use(everything)
            _fail(everything)
            yield everything


@contextmanager
def _running(run: Everything) -> Iterator[None]:
    with GatewayProcess(run.settings()) as run.gateway:
        yield
    if "moto" in vars(run):
        run.moto.stop()


def _use(run: Everything) -> None:
    """Everything that goes well."""
    run.tool.play(plain({"found": 1}))
    for key in (KEY_A, KEY_B):
        run.engine.play(
            streamed(call_events(("c1", "crm_find", QUESTION))), streamed(chat_events([ANSWER]))
        )
        assert run.chat(key) == 200
    run.engine.play(streamed(chat_events([ANSWER])))
    assert run.chat(stream=True) == 200
    choice = {"index": 0, "text": ANSWER, "finish_reason": "stop", "logprobs": None}
    told = {**completion(), "object": "text_completion", "choices": [choice]}
    run.engine.play(plain(told))
    same = {"model": "scripted", "prompt": PROMPT}
    wait_until(lambda: _is_hit(run, same))
    run.engine.play(streamed(chat_events([ANSWER])))
    token = run.provider.token(tenant="bob")
    run.shown.append(token)
    for key in (*AWS_KEYS, token):
        assert run.chat(key) == 200
    assert run.ask("/invoke", {"prompt": PROMPT}) == 200
    for path in ("/v1/models", "/tools", "/v1/usage", "/openapi.json", "/ready", "/metrics"):
        assert run.ask(path) == 200
    mcp = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
           "params": {"name": "crm_find", "arguments": {"q": PROMPT}}}  # fmt: skip
    assert run.ask("/mcp", mcp, accept="application/json, text/event-stream") == 200
    _use_a_batch(run)
    made = admin(run.gateway, "POST", "/keys", {"tenant": "bob", "label": "l"}).json()
    rotated = admin(run.gateway, "POST", f"/keys/{made['id']}/rotate", {}).json()
    assert made["secret"].startswith("ps-")
    run.shown += [made["secret"], rotated["secret"]]
    for key in (made["secret"], rotated["secret"]):
        assert run.chat(key) == 200
    for path in ("/tenants", "/keys", f"/keys/{made['id']}", "/usage", "/usage/entries",
                 "/engines", "/openapi.json"):  # fmt: skip
        assert run.ask(f"/admin{path}", key=ADMIN) == 200


def _use_a_batch(run: Everything) -> None:
    """What stands in files is their tenant's and is kept as it is; of keys there is nothing."""
    run.engine.play(streamed(chat_events(["fine"])))
    client = run.gateway.sdk(KEY_B)
    lines = [line("a"), line("b", temperature=0.7)]
    batch = wait_for(client, start(client, lines).id)
    assert rows(client, batch.output_file_id).keys() == {"a", "b"}
    for path in ("/v1/files", "/v1/batches", f"/v1/batches/{batch.id}",
                 f"/v1/files/{batch.output_file_id}/content"):  # fmt: skip
        assert run.ask(path) == 200
    run.engine.play(streamed(chat_events([ANSWER])))


def _is_hit(run: Everything, body: object) -> bool:
    assert run.ask("/v1/completions", body, **{"x-penstock-cache": "on"}) == 200
    return "hit" in run.answers[-1]


def _fail(run: Everything) -> None:
    """Everything that goes wrong, while secrets are about."""
    for key in (NEAR, ADMIN, run.shown[0][:-3] + "xyz", run.provider.token(aud="x")):
        assert run.ask("/v1/models", key=key) == 401
    assert run.ask("/v1/models", **{"x-tenant-id": "alice"}) == 401
    assert run.ask("/v1/chat/completions", {"model": 7, "messages": PROMPT}) == 400
    assert run.chat(model="none") == 404
    run.tool.play(plain({"error": 1}, "500 Internal Server Error"), [Act.DIE])
    for _ in range(2):
        run.engine.play(
            streamed(call_events(("c1", "crm_find", QUESTION))), streamed(chat_events([ANSWER]))
        )
        run.chat(temperature=0.3)
    for script in (plain({"error": {"message": "no"}}, "401 Unauthorized"), [Act.DIE],
                   plain(b"<html>", "500 X")):  # fmt: skip
        run.engine.play(script)
        run.chat(temperature=0.5)
    run.moto.stop()
    del run.moto
    wait_until(lambda: "keys of aws cannot be read" in run.gateway.log)
    run.provider.broken = True
    count = len(entries(run.gateway))
    run.server.kill()
    run.chat(model="none")
    assert run.ask("/v1/usage") == 503
    wait_until(lambda: "the ledger waits" in run.gateway.log)
    run.server.start()
    entries_when(run.gateway, lambda found: len(found) > count)


def canaries(run: Everything) -> list[str]:
    plain_ones = [KEY_A, KEY_B, NEAR, ADMIN, PASSWORD, PROMPT, ANSWER, *AWS_KEYS, *run.shown,
                  *ENVIRONMENT.values()]  # fmt: skip
    coded = [base64.b64encode(one.encode()).decode().rstrip("=") for one in plain_ones]
    return [*plain_ones, *coded, run.shown[0].rpartition(".")[2]]


def assert_clean(run: Everything, what: str, where: str) -> None:
    for canary in canaries(run):
        assert canary not in what, f"{canary} is found in {where}"


def test_secrets_arrive_where_they_are_for(run: Everything) -> None:
    engine = [asked.headers["authorization"] for asked in run.engine.asked]
    assert set(engine) == {f"Bearer {ENVIRONMENT['ENGINE_KEY']}"}
    tool = {asked.headers["authorization"] for asked in run.tool.asked}
    assert tool == {f"Bearer {ENVIRONMENT[name]}" for name in ("TOOL_KEY", "BOBS_TOOL_KEY")}


def test_the_engine_and_the_tool_are_told_no_key_of_a_client(run: Everything) -> None:
    for asked in (*run.engine.asked, *run.tool.asked):
        whole = f"{asked.path} {asked.headers} {asked.body.decode()}"
        for key in (KEY_A, KEY_B, ADMIN, *AWS_KEYS, *run.shown):
            assert key not in whole


def test_the_log_has_none(run: Everything) -> None:
    assert_clean(run, run.gateway.log, "the log")


def test_answers_have_none(run: Everything) -> None:
    assert len(run.answers) > 30
    for answer in run.answers:
        assert_clean(run, answer, "an answer")


def test_metrics_have_none(run: Everything) -> None:
    assert_clean(run, run.gateway.get("/metrics").text, "the metrics")


def test_traces_have_none(run: Everything) -> None:
    wait_until(lambda: len(run.traces.spans) > 10)
    assert_clean(run, run.traces.raw.decode("latin-1"), "the traces")


async def test_the_database_has_none(run: Everything) -> None:
    database = Database(run.url)
    dump = ""
    async with database.begin() as connection:
        for table in metadata.sorted_tables:
            rows = (await connection.execute(text(f"SELECT * FROM {table.name}"))).all()  # noqa: S608
            dump += f"\n{table.name}: {rows}"
    await database.close()
    for word in ("bob", "from_cache", "oidc:", "aws-"):
        assert word in dump
    assert_clean(run, dump, "the database")


def test_files_and_settings_have_none(run: Everything) -> None:
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".slots" for path in files)
    assert any("audit" in str(path) for path in files)
    for path in files:
        held = path.read_bytes().decode("latin-1")
        if path.suffix == ".spool":  # not sealed yet: content is in it, keys must not be
            held = held.replace(PROMPT, "").replace(ANSWER, "")
        assert_clean(run, held, str(path))
    assert_clean(run, msgspec.json.encode(run.settings()).decode(), "the settings")
    command = Path(f"/proc/{run.gateway.process.pid}/cmdline").read_text()
    assert_clean(run, command, "the command line")


@pytest.mark.parametrize("key", ["ps-bob-secret", keys.new_secret()], ids=["chosen", "made"])
def test_the_search_after_the_whole_run_would_find_a_key(tmp_path: Path, key: str) -> None:
    """It is made by `tests/conftest.py`, when all tests have run."""
    place = tmp_path / "deep" / "down"
    place.mkdir(parents=True)
    for name in ("registry.db", "gw.slots", "00000001.jsonl", "gateway.log"):
        file = place / name
        file.write_bytes(b"\0\x01before" + keys.hint_of(key).encode() + b"...\0")
        assert keys_in(tmp_path) == []
        file.write_bytes(b"\0\x01before " + key.encode() + b"\0after")
        assert keys_in(tmp_path) == [f"{file}: {key}"]
        file.unlink()
