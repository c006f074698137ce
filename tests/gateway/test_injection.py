"""Hostile text through every door: names, labels, queries, headers, keys, models.

Whatever is sent, the answer is an answer (never a 5xx), nothing is executed, no header and no line
of the log is forged, and what was there is there.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests.fakes.gateway_answers import completion, plain
from tests.fakes.gateway_engine import scripted_engine, wait_until
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess, chat_body
from tests.gateway.registry_gateway import ADMIN, entries, registry_settings

HOSTILE = (
    "'; DROP TABLE penstock_keys; --",
    "' OR '1'='1",
    "x' UNION SELECT digest, digest FROM penstock_keys --",
    "$1; SELECT pg_sleep(20)",
    ":name ? %s {0} ${env:HOME}",
    "a\0b",
    "line\r\nx-evil: 1\r\n\r\nHTTP/1.1 200 OK",
    "line\n2026-11-21 FORGED",
    "\ud800",
    "\u202eevil\u0085x",
    "../../<script>alert(1)</script>",
    "%00%0d%0ax-evil:1",
    "\U0001d510" * 200,
    "x" * 5000,
)
CLIENTS: dict[str, httpx.Client] = {}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("hostile")
    url = str(folder / "r.db")
    if request.param == "postgresql":
        url = request.getfixturevalue("server").make("hostile")
    with scripted_engine() as engine:
        engine.play(plain(completion()))
        settings = registry_settings({"engine": engine.url}, folder, url)
        with GatewayProcess(settings) as process, httpx.Client(timeout=60) as client:
            CLIENTS[process.url] = client
            yield process


@pytest.fixture(autouse=True)
def _all_is_as_it_was(gateway: GatewayProcess) -> Iterator[None]:
    before = ask(gateway, "GET", "/admin/tenants").json()["data"]
    yield
    after = ask(gateway, "GET", "/admin/tenants").json()["data"]
    assert {row["name"] for row in before} <= {row["name"] for row in after}
    for key in (ALICE, BOB):
        assert ask(gateway, "GET", "/v1/models", key=key).status_code == 200
    assert not re.search(r"^(x-evil|\S+ FORGED)", gateway.log, re.MULTILINE)


def check(answer: httpx.Response) -> httpx.Response:
    assert answer.status_code < 500, answer.text
    assert "x-evil" not in answer.headers
    assert answer.elapsed.total_seconds() < 10
    for told in ("asyncpg", "sqlite3", "sqlalchemy", "Traceback", "penstock_keys ("):
        assert told not in answer.text
    return answer


def raw(value: object) -> bytes:
    """JSON with the text in it escaped: lone surrogates cannot be sent otherwise."""
    return json.dumps(value).encode()


def ask(
    gateway: GatewayProcess, method: str, path: str, body: Any = None, key: str = ADMIN
) -> httpx.Response:
    content = None if body is None else raw(body)
    client, headers = CLIENTS[gateway.url], {"authorization": f"Bearer {key}"}
    return check(client.request(method, gateway.url + path, content=content, headers=headers))


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_forms_of_the_admin_api(gateway: GatewayProcess, text: str) -> None:
    assert ask(gateway, "POST", "/admin/tenants", {"name": text}).status_code == 400
    limits = {"requests_per_second": text}
    for body in ({"name": "t", "models": [text]}, {"name": "t", "tools": [text]},
                 {"name": "t", "limits": limits}, {"name": "t", text: 1}):  # fmt: skip
        assert ask(gateway, "POST", "/admin/tenants", body).status_code == 400
    assert ask(gateway, "POST", "/admin/keys", {"tenant": text}).status_code in (400, 404)
    assert ask(gateway, "PATCH", "/admin/tenants/bob", {"models": [text]}).status_code == 400


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_labels_are_kept_as_they_are_or_refused(gateway: GatewayProcess, text: str) -> None:
    made = ask(gateway, "POST", "/admin/keys", {"tenant": "bob", "label": text})
    if made.status_code == 201:
        key = made.json()
        assert ask(gateway, "GET", f"/admin/keys/{key['id']}").json()["label"] == text[:200]
        changed = ask(gateway, "PATCH", f"/admin/keys/{key['id']}", {"label": "plain"})
        assert changed.json()["label"] == "plain"
        assert ask(gateway, "PATCH", f"/admin/keys/{key['id']}", {"label": text}).is_success
    else:
        assert made.status_code == 400


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_paths_and_queries(gateway: GatewayProcess, text: str) -> None:
    word = quote(text.encode(errors="replace")[:3000], safe="")
    for path in (f"/admin/tenants/{word}", f"/admin/keys/{word}"):
        assert ask(gateway, "GET", path).status_code in (400, 404)
    for name in ("since", "until", "tenant", "key_id", "model", "group_by", "after", text):
        pair = f"{quote(name.encode(errors='replace'), safe='')[:3000]}={word}"
        for path in ("/admin/usage", "/admin/usage/entries"):
            rows = ask(gateway, "GET", f"{path}?{pair}")
            assert rows.status_code == 400 or rows.json()["data"] == [], rows.text
        own = ask(gateway, "GET", f"/v1/usage?{pair}", key=BOB)
        assert "alice" not in own.text
        assert "digest" not in own.text or "digest" in text


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "1e400", "-1e30", "1e30", "9" * 400])
def test_strange_times(gateway: GatewayProcess, seconds: str) -> None:
    for name in ("since", "until"):
        for path in ("/admin/usage?group_by=day&", "/admin/usage/entries?"):
            ask(gateway, "GET", f"{path}{name}={seconds}")
    ask(gateway, "GET", f"/admin/usage/entries?after={seconds},x")


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_models_prompts_and_other_fields(gateway: GatewayProcess, text: str) -> None:
    """What is refused is in the ledger all the same, under the name that was asked for."""
    for path in ("/v1/chat/completions", "/v1/completions", "/invoke"):
        for body in (chat_body(model=text), {"model": text, "prompt": "x"}):
            assert ask(gateway, "POST", path, body, BOB).status_code in (400, 404)
    told = {"user": text, "metadata": {"a": text}}
    ask(gateway, "POST", "/v1/chat/completions", {**chat_body(text), **told}, BOB)
    assert ask(gateway, "POST", "/v1/chat/completions", chat_body("x"), BOB).is_success
    name = quote(text.encode(errors="replace")[:3000], safe="")
    assert ask(gateway, "GET", f"/v1/models/{name}", key=BOB).status_code == 404


def test_the_ledger_has_it_all(gateway: GatewayProcess) -> None:
    count = len(entries(gateway))
    assert check(gateway.chat(key=BOB)).status_code == 200
    wait_until(lambda: len(entries(gateway)) > count)
    for entry in entries(gateway).values():
        assert entry["tenant"] in ("bob", "alice", "")
        assert entry["kind"] == "request"
        assert "\0" not in str(entry)


@pytest.mark.parametrize(
    "text",
    [t for t in HOSTILE if "\r" not in t and "\n" not in t],
    ids=lambda text: ascii(text)[:20],
)
def test_headers(gateway: GatewayProcess, text: str) -> None:
    value = text.encode(errors="replace").replace(b"\0", b"")[:3000]
    body = raw(chat_body())
    for name in (b"x-api-key", b"x-tenant-id", b"x-request-id", b"traceparent", b"user-agent"):
        head = b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\n"
        key = b"" if name == b"x-api-key" else b"x-api-key: %b\r\n" % BOB.encode()
        with gateway.connect() as client:
            client.send(head + key + b"%b: %b\r\ncontent-length: %d\r\n\r\n%b"
                        % (name, value, len(body), body))  # fmt: skip
            answer = client.read_all()
        status = int(answer[9:12])
        assert status == 401 if name in (b"x-api-key", b"x-tenant-id") else status == 200, answer
        assert b"x-evil" not in answer.partition(b"\r\n\r\n")[0].lower()
