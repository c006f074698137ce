"""Every route is probed with every kind of key: nobody sees what is another tenant's.

The routes are those of the app itself: one that is added needs a row in `ROWS`. A row names what
is alice's; bob tries it, and must be answered as if there were no such thing.
"""

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec
import pytest
from starlette.routing import Route
from tests.fakes.gateway_answers import completion, plain
from tests.fakes.gateway_engine import ScriptedEngine, scripted_engine
from tests.gateway.batches.batch_gateway import batch_settings, line, start
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess, chat_body
from tests.gateway.registry_gateway import ADMIN, admin, entries_when

from penstock.gateway.settings import Settings
from penstock.wiring.gateway import make_gateway

NOBODY = "nobody-7"
"""What no tenant has; as long as it is, for answers may repeat it."""


@dataclass(frozen=True)
class Row:
    """How a route is asked; `%s` stands for something of alice's: `theirs`."""

    access: Literal["open", "tenant", "admin"]
    paths: tuple[str, ...]
    theirs: str = "org-a"
    body: Any = None
    more: dict[str, str] = field(default_factory=dict)
    nobodys: str = NOBODY


_CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
         "params": {"name": "%s", "arguments": {"expression": "1+1"}}}  # fmt: skip
_ENGINE = "engine"
_MCP = {"accept": "application/json, text/event-stream"}
_WINDOWS = ("", "?group_by=tenant", "?group_by=key_id,model", "?tenant=%s", "?key_id=%s")

_NEW_BATCH = {"input_file_id": "%s", "endpoint": "/v1/chat/completions",
              "completion_window": "24h"}  # fmt: skip
_NO_FILE, _NO_BATCH = "file-" + "0" * 24, "batch_" + "0" * 24
MADE = {"alices file": _NO_FILE, "alices batch": _NO_BATCH}
"""Ids that are known when they are made."""

ROWS: dict[tuple[str, str], Row] = {
    ("GET", "/health"): Row("open", ("/health",)),
    ("GET", "/ready"): Row("open", ("/ready",)),
    ("GET", "/openapi.json"): Row("open", ("/openapi.json",)),
    ("GET", "/metrics"): Row("admin", ("/metrics",)),
    ("GET", "/v1/models"): Row("tenant", ("/v1/models",)),
    ("GET", "/v1/models/{name:path}"): Row("tenant", ("/v1/models/%s", "/v1/models/x/%s")),
    ("GET", "/tools"): Row("tenant", ("/tools", "/tools?tenant=alice")),
    ("POST", "/invoke"): Row("tenant", ("/invoke",), body={"model": "%s", "prompt": "hi"}),
    ("POST", "/mcp"): Row("tenant", ("/mcp",), "calculate_math", _CALL, _MCP),
    ("POST", "/v1/chat/completions"): Row(
        "tenant", ("/v1/chat/completions",), body=chat_body(model="%s")
    ),
    ("POST", "/v1/completions"): Row(
        "tenant", ("/v1/completions",), body={"model": "%s", "prompt": "hi"}
    ),
    ("GET", "/v1/usage"): Row("tenant", tuple(f"/v1/usage{q}" for q in _WINDOWS), "alice"),
    ("GET", "/v1/files"): Row("tenant", ("/v1/files", "/v1/files?after=%s", "/v1/files?purpose=x"),
                              "alices file", nobodys=_NO_FILE),
    ("POST", "/v1/files"): Row("tenant", ("/v1/files",)),
    ("GET", "/v1/files/{id}"): Row("tenant", ("/v1/files/%s",), "alices file", nobodys=_NO_FILE),
    ("DELETE", "/v1/files/{id}"): Row(
        "tenant", ("/v1/files/%s",), "alices file", nobodys=_NO_FILE
    ),
    ("GET", "/v1/files/{id}/content"): Row(
        "tenant", ("/v1/files/%s/content",), "alices file", nobodys=_NO_FILE
    ),
    ("GET", "/v1/batches"): Row("tenant", ("/v1/batches", "/v1/batches?after=%s"), "alices batch",
                                nobodys=_NO_BATCH),
    ("POST", "/v1/batches"): Row(
        "tenant", ("/v1/batches",), "alices file", _NEW_BATCH, nobodys=_NO_FILE
    ),
    ("GET", "/v1/batches/{id}"): Row(
        "tenant", ("/v1/batches/%s",), "alices batch", nobodys=_NO_BATCH
    ),
    ("POST", "/v1/batches/{id}/cancel"): Row(
        "tenant", ("/v1/batches/%s/cancel",), "alices batch", nobodys=_NO_BATCH
    ),
    ("GET", "/admin/openapi.json"): Row("admin", ("/admin/openapi.json",)),
    ("GET", "/admin/tenants"): Row("admin", ("/admin/tenants",)),
    ("POST", "/admin/tenants"): Row("admin", ("/admin/tenants",), body={"name": "%s"}),
    ("GET", "/admin/tenants/{name}"): Row("admin", ("/admin/tenants/%s",), "alice"),
    ("PATCH", "/admin/tenants/{name}"): Row(
        "admin", ("/admin/tenants/%s",), "alice", {"models": ["scripted"]}
    ),
    ("GET", "/admin/keys"): Row("admin", ("/admin/keys", "/admin/keys?tenant=%s"), "alice"),
    ("POST", "/admin/keys"): Row("admin", ("/admin/keys",), "alice", {"tenant": "%s"}),
    ("GET", "/admin/keys/{id}"): Row("admin", ("/admin/keys/%s",), "key-1"),
    ("PATCH", "/admin/keys/{id}"): Row("admin", ("/admin/keys/%s",), "key-1", {"label": "x"}),
    ("DELETE", "/admin/keys/{id}"): Row("admin", ("/admin/keys/%s",), "key-1"),
    ("POST", "/admin/keys/{id}/rotate"): Row("admin", ("/admin/keys/%s/rotate",), "key-1"),
    ("GET", "/admin/engines"): Row("admin", ("/admin/engines",)),
    ("POST", "/admin/engines/{name}/drain"): Row("admin", ("/admin/engines/%s/drain",), _ENGINE),
    ("POST", "/admin/engines/{name}/resume"): Row("admin", ("/admin/engines/%s/resume",), _ENGINE),
    ("GET", "/admin/usage"): Row("admin", ("/admin/usage", "/admin/usage?tenant=%s"), "alice"),
    ("GET", "/admin/usage/entries"): Row("admin", ("/admin/usage/entries",)),
}  # fmt: skip

STRANGERS: dict[str, dict[str, str]] = {
    "no key": {},
    "unknown": {"authorization": "Bearer ps-unknown"},
    "digest": {"authorization": "Bearer " + "0" * 64},
    "basic": {"authorization": "Basic cHMtYm9iLXNlY3JldDo="},
    "two": {"authorization": f"Bearer {BOB} {ALICE}"},
    "wildcard": {"x-api-key": "%"},
    "quote": {"x-api-key": "' OR '1'='1"},
    "id": {"x-api-key": "key-1"},
}
BOBS: dict[str, dict[str, str]] = {
    "bearer": {"authorization": f"Bearer {BOB}"},
    "x-api-key": {"x-api-key": BOB},
    "forwarded": {"x-api-key": BOB, "x-forwarded-user": "alice", "x-tenant": "alice",
                  "x-penstock-tenant": "alice", "cookie": "tenant=alice"},
}  # fmt: skip
CLIENTS: dict[str, httpx.Client] = {}
_PASS = {"authorization": f"Bearer {ADMIN}"}


def settings_in(folder: Path, url: str) -> Settings:
    settings = batch_settings({"engine": url}, folder)
    return msgspec.structs.replace(settings, metrics_open=False)


def test_every_route_has_a_row(tmp_path: Path) -> None:
    server = make_gateway(settings_in(tmp_path, "http://127.0.0.1:9"))
    found = {
        (method, route.path)
        for route in server.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert len(server.routes) == len({path for _, path in found})
    assert found == ROWS.keys(), "a route needs a row that says who may see what"


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """A gateway in which alice has used what is hers alone."""
    with scripted_engine() as engine, tempfile.TemporaryDirectory() as name:
        engine.play(plain(completion("alice's answer")))
        settings = settings_in(Path(name), engine.url)
        with GatewayProcess(settings) as process, httpx.Client(timeout=60) as client:
            CLIENTS[process.url] = client
            _use(process, engine)
            yield process


def _use(process: GatewayProcess, engine: ScriptedEngine) -> None:
    body = chat_body("alice's question", model="org-a")
    assert process.post("/v1/completions", {"model": "org-a", "prompt": "x"}, ALICE).is_success
    new = admin(process, "POST", "/keys", {"tenant": "alice", "label": "alice's"}).json()
    assert process.post("/v1/completions", {"model": "org-a", "prompt": "x"}, new["secret"])
    assert body["model"] == "org-a"
    entries_when(process, lambda found: len(found) == 2)
    batch = start(process.sdk(ALICE), [line("alices-line")])
    MADE["alices file"], MADE["alices batch"] = batch.input_file_id, batch.id
    entries_when(process, lambda found: len(found) == 3)
    engine.play(plain(completion("an answer")))


def probe(
    gateway: GatewayProcess, key: tuple[str, str], path: str, value: str, headers: dict[str, str]
) -> tuple[int, str]:
    """Ask; returns status and body, in which what was asked for is left out."""
    row, value = ROWS[key], MADE.get(value, value)
    body = msgspec.json.encode(row.body).decode().replace("%s", value) if row.body else None
    answer = CLIENTS[gateway.url].request(
        key[0],
        gateway.url + path.replace("%s", value),
        content=body,
        headers={**row.more, **headers},
    )
    text = answer.text
    if key[1] == "/v1/usage" and answer.is_success:
        # What bob was refused stands in his usage, under the name he asked for.
        data = answer.json()
        data["data"] = [row for row in data["data"] if row["prompt_tokens"]]
        text = str(data)
    return answer.status_code, text.replace(value, "<it>")


CASES = [(key, path) for key, row in ROWS.items() for path in row.paths]


@pytest.mark.parametrize(("key", "path"), CASES, ids=str)
def test_nobody_gets_in_without_a_key(
    gateway: GatewayProcess, key: tuple[str, str], path: str
) -> None:
    row = ROWS[key]
    for name, headers in STRANGERS.items():
        status, text = probe(gateway, key, path, row.theirs, headers)
        assert status == (200 if row.access == "open" else 401), (name, text)
        assert_tells_nothing(text)


@pytest.mark.parametrize(("key", "path"), CASES, ids=str)
def test_bob_finds_nothing_of_alices(
    gateway: GatewayProcess, key: tuple[str, str], path: str
) -> None:
    row = ROWS[key]
    for name, headers in BOBS.items():
        status, text = probe(gateway, key, path, row.theirs, headers)
        if row.access == "admin":
            assert status == 401, (name, text)
        assert_tells_nothing(text)
        if "%s" in path or (row.body and "%s" in str(row.body)):
            assert (status, text) == probe(gateway, key, path, row.nobodys, headers), name


@pytest.mark.parametrize("key", ROWS, ids=str)
def test_a_key_opens_its_own_half_alone(gateway: GatewayProcess, key: tuple[str, str]) -> None:
    """An admin key is no tenant's, and a tenant named in a header must be the key's."""
    row = ROWS[key]
    if row.access == "tenant":
        assert probe(gateway, key, row.paths[0], row.theirs, _PASS)[0] == 401
        named = {"authorization": f"Bearer {BOB}", "x-tenant-id": "alice"}
        assert probe(gateway, key, row.paths[0], row.theirs, named)[0] == 401
    if key[0] == "GET" and row.access != "open":
        url = gateway.url + row.paths[0].replace("%s", row.theirs)
        assert httpx.head(url, timeout=60).status_code == 401


def test_the_rows_would_find_something(gateway: GatewayProcess) -> None:
    """Alice and the admin see what bob does not: the probes ask for things that are there."""
    mine = {"authorization": f"Bearer {ALICE}"}
    assert (
        probe(gateway, ("GET", "/v1/models/{name:path}"), "/v1/models/%s", "org-a", mine)[0] == 200
    )
    assert "org-a" in gateway.get("/v1/usage", ALICE).text
    for kind, name in (("files", "alices file"), ("batches", "alices batch")):
        for path in (f"/v1/{kind}/%s", f"/v1/{kind}"):
            row = ("GET", path.replace("%s", "{id}"))
            status, text = probe(gateway, row, path, name, mine)
            assert status == 200
            assert "<it>" in text
    assert "alices-line" in gateway.get(f"/v1/files/{MADE['alices file']}/content", ALICE).text
    for path, what in (("/admin/usage?group_by=tenant", "alice"), ("/metrics", "org-a")):
        assert what in httpx.get(gateway.url + path, headers=_PASS, timeout=60).text


def assert_tells_nothing(text: str) -> None:
    names = ("alice", "org-a", ALICE, ADMIN, MADE["alices file"], MADE["alices batch"])
    for name in itertools.chain(names, (ALICE[:6] + "...",)):
        assert name not in text, text
