"""Keys, tenants, limits: who may ask for what."""

from collections.abc import Iterator

import httpx
import msgspec
import openai
import pytest
from tests.fakes.gateway_engine import ScriptedEngine, scripted_engine, wait_until
from tests.gateway.gateway_process import (
    ALICE,
    BOB,
    TINY,
    TOOLS,
    GatewayProcess,
    chat_body,
    key_settings,
    settings_for,
)

from penstock.gateway.settings import ModelSettings, TenantSettings

PATHS = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/invoke"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/scripted"),
    ("GET", "/tools"),
]
HEADERS = [
    {},
    {"authorization": ""},
    {"authorization": "Bearer"},
    {"authorization": "Bearer ps-wrong"},
    {"authorization": f"Basic {BOB}"},
    {"authorization": BOB},
    {"x-api-key": ""},
    {"x-api-key": "ps-wrong"},
    {"x-api-key": "\u00fc".encode("latin-1")},
    {"authorization": "Bearer ps-wrong", "x-api-key": BOB},
    {"x-tenant-id": "bob"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=str)
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_without_a_key_that_opens_there_is_nothing(
    gateway: GatewayProcess,
    engine: ScriptedEngine,
    method: str,
    path: str,
    headers: dict[str, str | bytes],
) -> None:
    sent = httpx.Headers(headers)  # type: ignore[arg-type]
    answer = httpx.request(method, gateway.url + path, headers=sent, json={}, timeout=60)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert "ps-wrong" not in answer.text
    assert not engine.asked


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {BOB}"},
        {"authorization": f"bearer   {BOB}"},
        {"x-api-key": BOB},
    ],
    ids=str,
)
def test_ways_to_send_a_key(gateway: GatewayProcess, headers: dict[str, str]) -> None:
    url = f"{gateway.url}/v1/chat/completions"
    assert httpx.post(url, headers=headers, json=chat_body(), timeout=60).status_code == 200
    assert httpx.get(f"{gateway.url}/v1/models", headers=headers, timeout=60).status_code == 200


def test_the_sdk_says_which_error_it_is(gateway: GatewayProcess) -> None:
    with pytest.raises(openai.AuthenticationError):
        gateway.sdk("ps-wrong").models.list()
    with pytest.raises(openai.NotFoundError, match="no model 'gpt'"):
        gateway.sdk(BOB).chat.completions.create(model="gpt", messages=[])
    with pytest.raises(openai.BadRequestError, match="`store` is not supported"):
        gateway.sdk(BOB).chat.completions.create(model="scripted", messages=[], store=True)


def test_a_gateway_is_ready_without_models_that_are_elsewhere() -> None:
    with scripted_engine() as engine:
        settings = settings_for({"engine": engine.url, "far": "http://127.0.0.1:9"})
        own = msgspec.structs.replace(settings.models[0], engines=("engine",))
        far = ModelSettings("far", ("far",), elsewhere=True)
        settings = msgspec.structs.replace(settings, models=(own, far))
        with GatewayProcess(settings) as gateway:
            wait_until(lambda: gateway.get("/ready", None).json()["engines_down"] == ["far"])
            assert gateway.get("/ready", None).status_code == 200
            assert gateway.chat(key=ALICE, model="far").status_code == 503


def test_a_tenant_sees_its_own_models(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    names = {key: [each.id for each in gateway.sdk(key).models.list()] for key in (ALICE, BOB)}
    shared = ["in-text", "judged"]
    assert names == {ALICE: ["scripted", "org-a", *shared], BOB: ["scripted", *shared]}
    assert gateway.get("/v1/models/org-a", ALICE).json()["parent"] == "scripted"
    for answer in (
        gateway.get("/v1/models/org-a", BOB),
        gateway.chat(model="org-a"),
        gateway.post("/v1/completions", {"model": "org-a", "prompt": "x"}, BOB),
        gateway.post("/invoke", {"model": "org-a", "prompt": "x"}, BOB),
    ):
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert (error["param"], error["code"]) == ("model", "model_not_found")
        assert "org-a" not in error["message"].partition("This key may use")[2]
    assert not engine.asked


def test_a_model_that_does_not_exist_and_one_that_is_not_ours_look_alike(
    gateway: GatewayProcess,
) -> None:
    one, other = gateway.chat(model="org-a").json(), gateway.chat(model="org-b").json()
    assert str(one).replace("org-a", "X") == str(other).replace("org-b", "X")


def test_a_tenant_sees_its_own_tools(gateway: GatewayProcess) -> None:
    tools = gateway.get("/tools", ALICE).json()["tools"]
    assert tuple(tool["function"]["name"] for tool in tools) == TOOLS
    assert gateway.get("/tools", BOB).json() == {"tools": []}


def test_a_limit_that_is_reached(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    """Three at once, then one in a hundred seconds; refused requests cost nothing more."""
    answers = [gateway.chat(key=TINY) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    refused = answers[-1]
    assert 90 <= int(refused.headers["retry-after"]) <= 100
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert len(engine.asked) == 3
    assert gateway.post("/invoke", {"prompt": "x"}, TINY).status_code == 429
    assert gateway.get("/v1/models", TINY).status_code == 200
    assert gateway.chat(key=BOB).status_code == 200
    with pytest.raises(openai.RateLimitError):
        gateway.sdk(TINY).chat.completions.create(model="scripted", messages=[])


@pytest.fixture
def few_a_day(engine: ScriptedEngine) -> Iterator[GatewayProcess]:
    settings = settings_for(
        {"engine": engine.url},
        tenants=(TenantSettings("day", requests_per_day=2),),
        keys=(key_settings(BOB, "day"),),
    )
    with GatewayProcess(settings) as process:
        yield process


def test_a_day_that_is_used_up(few_a_day: GatewayProcess) -> None:
    answers = [few_a_day.chat() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "2 requests a day" in answers[-1].json()["error"]["message"]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 86_400
