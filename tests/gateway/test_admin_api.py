"""The admin API over HTTP: tenants and keys, on two gateways over one database."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.fakes.gateway_answers import chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import ScriptedEngine, wait_until
from tests.gateway.gateway_process import ALICE, BOB, TINY, GatewayProcess
from tests.gateway.registry_gateway import ADMIN, admin, entries_when, registry_settings

from penstock.registry.clerk import _WATCH_EVERY_S

TENANT_ROUTES = ("/v1/models", "/v1/models/scripted", "/tools", "/v1/usage")
ADMIN_ROUTES = (
    ("GET", "/tenants"), ("POST", "/tenants"), ("GET", "/tenants/bob"), ("PATCH", "/tenants/bob"),
    ("GET", "/keys"), ("POST", "/keys"), ("GET", "/keys/x"), ("PATCH", "/keys/x"),
    ("DELETE", "/keys/x"), ("POST", "/keys/x/rotate"), ("GET", "/usage"),
    ("GET", "/usage/entries"), ("GET", "/openapi.json"), ("GET", "/engines"),
    ("POST", "/engines/x/drain"), ("POST", "/engines/x/resume"),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def pair(folder: Path, _engine: ScriptedEngine) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    settings = registry_settings({"engine": _engine.url}, folder, str(folder / "r.db"))
    with GatewayProcess(settings) as one, GatewayProcess(settings) as two:
        yield one, two


@pytest.fixture
def one(pair: tuple[GatewayProcess, GatewayProcess], engine: ScriptedEngine) -> GatewayProcess:
    return pair[0]


@pytest.fixture
def two(pair: tuple[GatewayProcess, GatewayProcess], engine: ScriptedEngine) -> GatewayProcess:
    return pair[1]


def new_key(gateway: GatewayProcess, **fields: object) -> tuple[str, str]:
    """A key of bob: its id and its secret."""
    made = admin(gateway, "POST", "/keys", {"tenant": "bob", **fields})
    assert made.status_code == 201, made.text
    return made.json()["id"], made.json()["secret"]


def status(gateway: GatewayProcess, secret: str) -> int:
    return gateway.chat(key=secret).status_code


def test_a_key_works_at_once_here_and_soon_there(one: GatewayProcess, two: GatewayProcess) -> None:
    _, secret = new_key(one)
    assert status(one, secret) == 200
    wait_until(lambda: status(two, secret) == 200)


def test_a_revoked_key_ends_here_at_once_and_soon_there(
    one: GatewayProcess, two: GatewayProcess
) -> None:
    key_id, secret = new_key(one)
    wait_until(lambda: status(two, secret) == 200)
    assert admin(one, "DELETE", f"/keys/{key_id}").json()["state"] == "revoked"
    assert status(one, secret) == 401
    wait_until(lambda: status(two, secret) == 401)
    admin(one, "PATCH", f"/keys/{key_id}", {"disabled": False})
    assert status(one, secret) == 401


def test_soon_is_within_a_second(one: GatewayProcess, two: GatewayProcess) -> None:
    """The quickest of several: what a busy machine adds is not the gateways' doing."""

    def seconds_until_it_ends() -> float:
        key_id, secret = new_key(one)
        wait_until(lambda: status(two, secret) == 200)
        admin(one, "DELETE", f"/keys/{key_id}")
        since_s = time.monotonic()
        wait_until(lambda: status(two, secret) == 401)
        return time.monotonic() - since_s

    assert _WATCH_EVERY_S <= 0.5
    assert min(seconds_until_it_ends() for _ in range(3)) < 1.0


def test_a_disabled_key_can_be_enabled_again(one: GatewayProcess) -> None:
    key_id, secret = new_key(one)
    admin(one, "PATCH", f"/keys/{key_id}", {"disabled": True})
    assert status(one, secret) == 401
    admin(one, "PATCH", f"/keys/{key_id}", {"disabled": False})
    assert status(one, secret) == 200


def test_a_disabled_tenant_has_no_keys_that_work(one: GatewayProcess) -> None:
    admin(one, "POST", "/tenants", {"name": "org-z"})
    made = admin(one, "POST", "/keys", {"tenant": "org-z"}).json()
    assert status(one, made["secret"]) == 200
    admin(one, "PATCH", "/tenants/org-z", {"disabled": True})
    assert status(one, made["secret"]) == 401


def in_time(one: GatewayProcess, make: Callable[[], str]) -> str:
    """Make keys that soon end, until one opens: a machine that stands still may come too late."""
    made: list[str] = []

    def opens() -> bool:
        made.append(make())
        return status(one, made[-1]) == 200

    wait_until(opens)
    return made[-1]


def test_keys_end_by_themselves(one: GatewayProcess) -> None:
    secret = in_time(one, lambda: new_key(one, expires_in_s=3)[1])
    wait_until(lambda: status(one, secret) == 401)


def test_a_rotated_key_overlaps(one: GatewayProcess) -> None:
    heirs = {}

    def rotated() -> str:
        key_id, secret = new_key(one, label="ci")
        made = admin(one, "POST", f"/keys/{key_id}/rotate", {"overlap_s": 3}).json()
        assert (made["label"], made["replaces"]) == ("ci", key_id)
        heirs[secret] = made["secret"]
        return secret

    secret = in_time(one, rotated)
    assert status(one, heirs[secret]) == 200
    wait_until(lambda: status(one, secret) == 401)
    assert status(one, heirs[secret]) == 200


def test_a_key_may_do_less_than_its_tenant(one: GatewayProcess) -> None:
    _, narrow = new_key(one, models=["scripted"], limits={"max_tokens": 50})
    assert one.chat(key=narrow, model="org-a").status_code == 404
    assert one.chat(key=narrow, max_tokens=51).status_code == 400
    assert one.chat(key=narrow, max_tokens=50).status_code == 200
    made = admin(one, "POST", "/keys", {"tenant": "alice", "tools": ["calculate_math"]}).json()
    listed = one.get("/tools", key=made["secret"]).json()["tools"]
    assert [tool["function"]["name"] for tool in listed] == ["calculate_math"]


def test_an_unsaid_length_is_bounded_by_the_key(
    one: GatewayProcess, engine: ScriptedEngine
) -> None:
    _, narrow = new_key(one, limits={"max_tokens": 50})
    assert status(one, narrow) == 200
    assert engine.asked[-1].json["max_tokens"] == 50


def test_limits_of_a_key_hold_beside_its_tenants(one: GatewayProcess) -> None:
    _, secret = new_key(one, limits={"requests_per_second": 0.01, "burst": 2})
    answers = [one.chat(key=secret) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    left = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
    assert left == ["1", "0", "0"]
    assert int(answers[2].headers["retry-after"]) >= 1
    assert answers[2].headers["x-ratelimit-limit-requests"] == "2"


def test_when_a_key_was_last_used_is_told(one: GatewayProcess) -> None:
    key_id, secret = new_key(one)
    assert status(one, secret) == 200
    wait_until(lambda: admin(one, "GET", f"/keys/{key_id}").json()["last_used_s"])


@pytest.mark.parametrize("secret", [ALICE, BOB, TINY, "ps-admin-secre", "x" * 5000])
@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
def test_no_tenant_reaches_the_admin_api(
    one: GatewayProcess, method: str, path: str, secret: str
) -> None:
    answer = admin(one, method, path, {}, key=secret)
    assert answer.status_code == 401
    assert "bob" not in answer.text


@pytest.mark.parametrize("path", TENANT_ROUTES)
def test_an_admin_key_opens_nothing_else(one: GatewayProcess, path: str) -> None:
    assert one.get(path, key=ADMIN).status_code == 401
    assert status(one, ADMIN) == 401


def test_admin_keys_can_be_made_and_revoked(one: GatewayProcess) -> None:
    made = admin(one, "POST", "/keys", {"admin": True}).json()
    assert admin(one, "GET", "/tenants", key=made["secret"]).status_code == 200
    assert status(one, made["secret"]) == 401
    admin(one, "DELETE", f"/keys/{made['id']}")
    assert admin(one, "GET", "/tenants", key=made["secret"]).status_code == 401


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, {"requests_per_second": 50, "burst": 100, "requests_per_day": 10_000}),
        (
            {"limits": {"requests_per_second": 5, "max_tokens": 9}},
            {"requests_per_second": 5, "burst": 100, "requests_per_day": 10_000, "max_tokens": 9},
        ),
        (
            {"limits": {"requests_per_day": None, "burst": None}},
            {"requests_per_second": 50},
        ),
    ],
)
def test_a_new_tenant_has_the_limits_of_a_manifest(
    one: GatewayProcess, given: dict[str, Any], made: dict[str, Any]
) -> None:
    name = f"limited-{len(made)}"
    answer = admin(one, "POST", "/tenants", {"name": name, **given})
    assert (answer.status_code, answer.json()["limits"]) == (201, made)
    assert admin(one, "GET", f"/tenants/{name}").json()["limits"] == made


@pytest.mark.parametrize("named", ["alice", "nobody", "bob", "", "Bob", "'; DROP TABLE x"])
def test_a_tenant_header_must_agree_with_the_key(one: GatewayProcess, named: str) -> None:
    headers = {"x-api-key": BOB, "x-tenant-id": named}
    body = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}
    expected = 200 if named == "bob" else 401
    chat = httpx.post(f"{one.url}/v1/chat/completions", headers=headers, json=body, timeout=60)
    assert chat.status_code == expected
    assert httpx.get(f"{one.url}/v1/models", headers=headers, timeout=60).status_code == expected


@pytest.mark.parametrize(
    ("path", "body", "what"),
    [
        ("/tenants", {"name": "a b"}, "name"),
        ("/tenants", {"name": "x", "models": ["none"]}, "models"),
        ("/tenants", {"name": "x", "tools": ["none"]}, "tools"),
        ("/tenants", {"name": "x", "limits": {"burst": 0}}, "burst"),
        ("/tenants", {"name": "x", "budgets": {"usd_per_day": -1}}, "usd_per_day"),
        ("/tenants", {"name": "bob"}, "already"),
        ("/tenants", {"nmae": "x"}, "nmae"),
        ("/keys", {}, "tenant"),
        ("/keys", {"tenant": "bob", "admin": True}, "tenant"),
        ("/keys", {"tenant": "'; DROP TABLE penstock_keys; --"}, "tenant"),
        ("/keys/none/rotate", {}, "key"),
    ],
)
def test_what_is_wrong_is_told(one: GatewayProcess, path: str, body: object, what: str) -> None:
    answer = admin(one, "POST", path, body)
    assert answer.status_code in (400, 404)
    assert what in answer.json()["error"]["message"]


def test_the_document_names_every_route(one: GatewayProcess) -> None:
    document = admin(one, "GET", "/openapi.json").json()
    named = {
        (method.upper(), re.sub(r"\{\w+\}", "x", path.removeprefix("/admin")))
        for path, operations in document["paths"].items()
        for method in operations
    }
    routes = {(method, path.replace("bob", "x")) for method, path in ADMIN_ROUTES}
    assert named == routes - {("GET", "/openapi.json")}


def test_a_tenant_sees_its_own_usage_and_no_other(
    one: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(plain(completion()))
    sent = one.chat(key=ALICE, tool_choice="none").headers["x-request-id"]
    status(one, BOB)
    entries_when(one, lambda found: sent in found)
    for secret, name in ((ALICE, "alice"), (BOB, "bob")):
        told = one.get("/v1/usage?group_by=tenant,model", key=secret).json()
        assert told["tenant"] == name
        assert all(set(row) >= {"model", "requests", "usd"} for row in told["data"])
    assert one.get("/v1/usage?tenant=bob", key=ALICE).status_code == 400
    assert one.get("/v1/usage?group_by=digest", key=ALICE).status_code == 400


def test_secrets_are_nowhere(one: GatewayProcess, two: GatewayProcess, folder: Path) -> None:
    _, secret = new_key(one)
    status(one, secret)
    status(one, "ps-wrong-" + secret)
    texts = [one.log, two.log, admin(one, "GET", "/keys").text, one.get("/metrics").text]
    stored = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
    for hidden in (secret, ADMIN, ALICE, BOB):
        assert all(hidden not in text for text in texts)
        assert hidden.encode() not in stored


def test_a_tenant_has_a_share_of_full_engines(one: GatewayProcess) -> None:
    made = admin(one, "POST", "/tenants", {"name": "org-shared", "share": {"weight": 2.5}})
    assert (made.status_code, made.json()["share"]) == (201, {"weight": 2.5})
    low = {"share": {"priority": "low"}}
    changed = admin(one, "PATCH", "/tenants/org-shared", low)
    assert changed.json()["share"] == {"priority": "low"}
    assert admin(one, "PATCH", "/tenants/org-shared", {"models": ["*"]}).json()["share"] == {
        "priority": "low"
    }
    wrong = admin(one, "PATCH", "/tenants/org-shared", {"share": {"weight": 0}})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "invalid_body")
    unknown = admin(one, "PATCH", "/tenants/org-shared", {"share": {"priority": "urgent"}})
    assert unknown.status_code == 400


def test_an_invocation_tells_what_is_left(one: GatewayProcess, engine: ScriptedEngine) -> None:
    _, secret = new_key(one, limits={"requests_per_second": 0.01, "burst": 1})
    engine.play(streamed(chat_events("Hi.")))
    answers = [one.post("/invoke", {"prompt": "hi"}, secret) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert [answer.headers["x-ratelimit-limit-requests"] for answer in answers] == ["1", "1"]
