"""Routing over sockets: tiers, splits, stand-ins, hedges, shadows, prefixes."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.fakes.gateway_answers import (
    STREAM_HEAD,
    call_events,
    chat_events,
    chunk,
    completion,
    delta,
    plain,
    streamed,
)
from tests.fakes.gateway_engine import Act, ScriptedEngine, scripted_engine, wait_until
from tests.gateway.gateway_process import (
    ALICE,
    BOB,
    PATIENT,
    TOOLS,
    GatewayProcess,
    chat_body,
    key_settings,
    raw_chat,
    settings_for,
)
from tests.gateway.registry_gateway import ADMIN, admin, entries_when

from penstock.gateway.routing.settings import (
    ArmSettings,
    RoutingSettings,
    ShadowSettings,
    TierSettings,
)
from penstock.gateway.settings import (
    EngineSettings,
    ModelSettings,
    RegistrySettings,
    Settings,
    TenantSettings,
)
from penstock.registry.keys import digest_of
from penstock.registry.pricing import cost_of
from penstock.registry.records import Budgets, Limits, Price

NAMES = ("a1", "a2", "a3", "b", "c")
CHEAP, DEAR = Price.per_million(1, 1, 1), Price.per_million(10, 10, 100)
CODE = "Debug and refactor this, analyse the trade-offs.\n" + "```python\nx = f(1)\n```\n" * 400
Engines = dict[str, ScriptedEngine]


def _model(name: str, engines: tuple[str, ...], **more: Any) -> ModelSettings:
    routing = RoutingSettings(**more.pop("routing")) if "routing" in more else None
    price = more.pop("price", CHEAP)
    return ModelSettings(name, engines, context=2048, price=price, routing=routing, **more)


def _arms(*arms: tuple[str, float, str | None, str | None]) -> tuple[ArmSettings, ...]:
    return tuple(ArmSettings(*arm) for arm in arms)


TIERS = (
    TierSettings("small", "a", 0.0),
    TierSettings("medium", "b", 0.3),
    TierSettings("large", "c", 0.7),
)
A = ("a1", "a2")
MODELS = (
    _model("a", A),
    _model("b", ("b",), price=DEAR),
    _model("c", ("c",), price=DEAR),
    _model("auto", (), routing={"tiers": TIERS}),
    _model("safe", A, routing={"fallback": ("b", "c")}),
    _model("limited", A, routing={"fallback": ("b",)}, limits=Limits(concurrent_requests=1)),
    _model("split", A, routing={"arms": _arms(("old", 3, "a", None), ("new", 1, "b", None))}),
    _model("mild", ("a3",)),
    _model("steep", A, routing={"fallback": ("mild", "c")}),
    _model("few", ("b",), limits=Limits(requests_per_day=1)),
    _model("crowded", A, routing={"fallback": ("few",)}, limits=Limits(concurrent_requests=1)),
    _model("rated", A, routing={"fallback": ("b",)}, limits=Limits(requests_per_day=2)),
    _model("auto-rated", (), routing={"tiers": TIERS}, limits=Limits(requests_per_day=2)),
    _model("thrice", ("a1", "a2", "a3", "b")),
    _model("once", ("a1", "a2", "a3", "b"), routing={"retries": 0}),
    _model("engines", A, routing={"arms": _arms(("one", 1, None, "a1"), ("two", 1, None, "a2"))}),
    _model("spoken", A, routing={"fallback": ("b",)}, tools_format="hermes"),
    _model("hedged", A, routing={"hedge_after_ms": 50.0}),
    _model("patient", A, routing={"hedge_after_ms": 60_000.0}),
    _model("mirrored", A, routing={"shadow": ShadowSettings(1.0, "c", at_once=2)}),
    _model("near", ("a1", "a2", "a3"), routing={"prefix": True, "balance": 100.0}),
)  # fmt: skip
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
OWNER, NARROW, POOR = "ps-owner", "ps-narrow", "ps-poor"
MANY = [f"ps-many-{number}" for number in range(60)]


def _settings(engines: Engines, folder: Path) -> Settings:
    free: dict[str, Any] = {"requests_per_second": 1e6, "burst": 10**6, "requests_per_day": 10**9}
    plain_settings = settings_for({})
    return msgspec.structs.replace(
        plain_settings,
        engines=tuple(EngineSettings(name, engine.url) for name, engine in engines.items()),
        models=MODELS,
        tenants=(
            TenantSettings("alice", tools=TOOLS, **free),
            TenantSettings("owner", **free),
            TenantSettings("narrow", models=("auto", "safe", "split", "a", "b"), **free),
            TenantSettings("poor", budgets=Budgets(usd_per_day=0.1), **free),
        ),
        keys=(
            key_settings(ALICE, "alice"),
            *(key_settings(secret, "owner") for secret in (OWNER, *MANY)),
            key_settings(NARROW, "narrow"),
            key_settings(POOR, "poor"),
        ),
        registry=RegistrySettings(str(folder), str(folder / "registry.db")),
        admin=digest_of(ADMIN.encode()).hex(),
        breaker=PATIENT,
    )


@pytest.fixture(scope="module")
def _stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, Engines]]:
    with ExitStack() as stack:
        engines = {name: stack.enter_context(scripted_engine()) for name in NAMES}
        settings = _settings(engines, tmp_path_factory.mktemp("ways"))
        yield stack.enter_context(GatewayProcess(settings)), engines


@pytest.fixture
def stand(_stand: tuple[GatewayProcess, Engines]) -> Iterator[tuple[GatewayProcess, Engines]]:
    """A gateway with every kind of routing, and engines that say their name."""
    gateway, engines = _stand
    for name, engine in engines.items():
        engine.reset()
        engine.play(plain(_said(name)))
        admin(gateway, "POST", f"/engines/{name}/resume")
    wait_until(lambda: not gateway.get("/ready", None).json()["engines_down"])
    wait_until(lambda: gateway.metric("penstock_engine_outstanding") == 0)
    yield _stand
    for engine in engines.values():
        engine.release()


Stand = tuple[GatewayProcess, Engines]


def _said(name: str) -> dict[str, object]:
    return completion(name) | {"model": name[0]}


def _words(name: str) -> list[bytes]:
    return streamed([e.replace(b'"scripted"', b'"%b"' % name[:1].encode())
                     for e in chat_events([name])])  # fmt: skip


def _ask(
    gateway: GatewayProcess, model: str, prompt: str = "hi", key: str = OWNER, **more: object
) -> httpx.Response:
    return gateway.chat(prompt, key, model=model, max_tokens=5, **more)


def _route(answer: httpx.Response) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in answer.headers["x-penstock-route"].split())
    return {name: value for name, _, value in pairs}


def _entry(gateway: GatewayProcess, answer: httpx.Response, suffix: str = "") -> dict[str, Any]:
    sent = answer.headers["x-request-id"] + suffix
    return entries_when(gateway, lambda found: sent in found)[sent]


# Tiers


@pytest.mark.parametrize(
    ("prompt", "tier", "model"),
    [("hi", "small", "a"), ("Prove it step by step", "medium", "b"), (CODE, "large", "c")],
)
def test_a_tier_by_complexity(stand: Stand, prompt: str, tier: str, model: str) -> None:
    gateway, engines = stand
    answer = _ask(gateway, "auto", prompt)
    assert answer.status_code == 200
    route = _route(answer)
    assert (route["tier"], route["model"]) == (tier, model)
    assert answer.json()["model"] == model
    served = next(e for name, e in engines.items() if name.startswith(model) and e.asked)
    assert served.asked[0].json["model"] == model
    entry = _entry(gateway, answer)
    assert entry["model"] == model
    assert entry["note"] == answer.headers["x-penstock-route"]
    if tier == "large":
        assert answer.headers["x-penstock-route"].startswith("tier=large score=")
        assert route["reasons"].split(",")[:2] == ["long", "reasoning"]


def test_a_tier_that_may_not_be_used_is_skipped(stand: Stand) -> None:
    gateway, engines = stand
    route = _route(_ask(gateway, "auto", CODE, NARROW))
    assert (route["tier"], route["model"]) == ("medium", "b")
    assert route["reasons"].endswith("skipped:large")
    assert not engines["c"].asked


def test_tiers_for_every_kind_of_request(stand: Stand) -> None:
    gateway, engines = stand
    for engine in engines.values():
        engine.play(_words("b"))
    answer = _ask(gateway, "auto", "Prove it step by step", stream=True)
    assert _route(answer)["tier"] == "medium"
    assert answer.content.endswith(b"data: [DONE]\n\n")
    answer = _ask(gateway, "auto", "Prove it step by step", ALICE, stream=True)
    assert _route(answer)["tier"] == "medium"
    answer = gateway.post("/invoke", {"prompt": "Prove it step by step", "model": "auto"}, OWNER)
    assert answer.json()["generated_text"] == "b"
    assert _route(answer)["model"] == "b"
    engines["b"].play(plain({"object": "text_completion", "choices": [], "model": "b"}))
    body = {"model": "auto", "prompt": "Prove it step by step"}
    answer = gateway.post("/v1/completions", body, OWNER)
    assert _route(answer)["model"] == "b"
    assert {asked.json["model"] for asked in engines["b"].asked} == {"b"}
    assert not engines["c"].asked


# Splits


def test_a_split_holds_its_shares_and_keys_stay(stand: Stand) -> None:
    gateway, engines = stand
    first = {key: _route(_ask(gateway, "split", key=key))["arm"] for key in MANY}
    again = {key: _route(_ask(gateway, "split", key=key))["arm"] for key in MANY}
    assert first == again
    new = sum(arm == "new" for arm in first.values())
    assert 5 <= new <= 27  # 60 keys at a quarter: 15 +- 3.6 sigma
    assert len(engines["b"].asked) == 2 * new


def test_an_arm_is_told_in_header_and_ledger(stand: Stand) -> None:
    gateway, _ = stand
    answer = _ask(gateway, "split")
    route = _route(answer)
    assert answer.json()["model"] == route["model"]
    assert _entry(gateway, answer)["note"] == f"arm={route['arm']} model={route['model']}"


def test_engines_of_one_model_are_arms_too(stand: Stand) -> None:
    gateway, engines = stand
    for key in MANY[:20]:
        arm = _route(_ask(gateway, "engines", key=key))["arm"]
        asked = {"one": "a1", "two": "a2"}[arm]
        assert engines[asked].asked.pop().json["model"] == "engines"
    admin(gateway, "POST", "/engines/a1/drain")
    for key in MANY[:20]:
        assert _ask(gateway, "engines", key=key).status_code == 200
    assert not engines["a1"].asked


# Stand-ins


def _down(gateway: GatewayProcess, *names: str) -> None:
    for name in names:
        admin(gateway, "POST", f"/engines/{name}/drain")


@pytest.mark.parametrize(("model", "times"), [("thrice", 3), ("once", 1)])
@pytest.mark.parametrize("key", [OWNER, ALICE], ids=["straight", "turn"])
def test_trying_again_has_an_end(stand: Stand, model: str, times: int, key: str) -> None:
    gateway, engines = stand
    for engine in engines.values():
        engine.play(plain({"error": {"message": "full"}}, "429 Full"))
    assert _ask(gateway, model, key=key).status_code == 429
    assert sum(len(engine.asked) for engine in engines.values()) == times


@pytest.mark.parametrize("kind", ["plain", "stream", "turn", "invoke", "completions"])
@pytest.mark.parametrize("how", ["drained", "dies", "full", "silent head"])
def test_another_model_stands_in(stand: Stand, kind: str, how: str) -> None:
    gateway, engines = stand
    scripts: dict[str, list[bytes | Act]] = {
        "dies": [Act.DIE],
        "full": [*plain({"error": {"message": "full"}}, "503 Full")],
        "silent head": [STREAM_HEAD, Act.CLOSE],
    }
    for name in ("a1", "a2"):
        if how == "drained":
            _down(gateway, name)
        else:
            engines[name].play(scripts[how])
    streams = kind in ("stream", "turn", "invoke")
    engines["b"].play(_words("b") if streams else plain(_said("b")))
    if kind == "invoke":
        answer = gateway.post("/invoke", {"prompt": "x", "model": "safe"}, OWNER)
        assert answer.json()["generated_text"] == "b"
    elif kind == "completions":
        answer = gateway.post("/v1/completions", {"model": "safe", "prompt": "x"}, OWNER)
    else:
        key = ALICE if kind == "turn" else OWNER
        answer = _ask(gateway, "safe", key=key, stream=kind == "stream")
    assert answer.status_code == 200, answer.text
    if kind != "invoke":
        assert '"model": "b"' in answer.text.replace('":"', '": "')
    assert len(engines["b"].asked) == 1
    assert engines["b"].asked[0].json["model"] == "b"
    if kind not in ("invoke", "completions"):
        assert answer.headers["x-penstock-route"] == "instead=safe model=b"
        entry = _entry(gateway, answer)
        assert (entry["model"], entry["engine"], entry["outcome"]) == ("b", "b", "complete")
        assert entry["cost_nano_usd"] == cost_of(DEAR, 7, 0, 3)
        assert "b" in entry["note"]


@pytest.mark.parametrize(("tools", "status"), [(None, 200), ([TOOL], 503)])
def test_who_writes_calls_in_another_form_does_not_stand_in_where_there_are_tools(
    stand: Stand, tools: list[Any] | None, status: int
) -> None:
    gateway, engines = stand
    for name in A:
        _down(gateway, name)
    engines["b"].play(plain(_said("b")))
    body = {"model": "spoken", "messages": [{"role": "user", "content": "hi"}]}
    if tools:
        body["tools"] = tools
    answer = gateway.post("/v1/chat/completions", body, OWNER)
    assert answer.status_code == status, answer.text


def test_the_chain_goes_on(stand: Stand) -> None:
    gateway, engines = stand
    for name in ("a1", "a2", "b"):
        engines[name].play([Act.DIE])
    answer = _ask(gateway, "safe")
    assert answer.json()["model"] == "c"
    assert _entry(gateway, answer)["model"] == "c"


def test_a_chain_has_an_end(stand: Stand) -> None:
    gateway, engines = stand
    for engine in engines.values():
        engine.play([Act.DIE])
    assert _ask(gateway, "safe").status_code == 502
    _down(gateway, "a1", "a2", "b", "c")
    assert _ask(gateway, "safe").status_code == 503
    for name in NAMES:
        admin(gateway, "POST", f"/engines/{name}/resume")
    engines["a1"].play(plain(_said("a1")))
    assert _entry(gateway, _ask(gateway, "a"))["outcome"] == "complete"


def test_a_model_that_may_not_be_used_does_not_stand_in(stand: Stand) -> None:
    gateway, engines = stand
    for name in ("a1", "a2", "b"):
        engines[name].play([Act.DIE])
    assert _ask(gateway, "safe", key=NARROW).status_code == 502
    assert not engines["c"].asked


def test_nothing_stands_in_for_a_refusal_or_in_mid_stream(stand: Stand) -> None:
    gateway, engines = stand
    for name in ("a1", "a2"):
        engines[name].play(plain({"error": {"message": "bad"}}, "400 Bad"))
    assert _ask(gateway, "safe").status_code == 400
    for name in ("a1", "a2"):
        engines[name].play([STREAM_HEAD, chunk(delta("a")), Act.DIE])
    assert b'"code":"engine_died"' in _ask(gateway, "safe", stream=True).content
    assert not engines["b"].asked


def test_a_model_at_its_limit_is_stood_in_for(stand: Stand) -> None:
    gateway, engines = stand
    for name in ("a1", "a2"):
        engines[name].play([Act.WAIT, *plain(_said(name))])
    with gateway.connect() as client:
        body = json.dumps(chat_body(model="limited")).encode()
        client.send(raw_chat(body).replace(BOB.encode(), OWNER.encode()))
        wait_until(lambda: engines["a1"].running + engines["a2"].running)
        assert _ask(gateway, "limited").json()["model"] == "b"
        for name in ("a1", "a2"):
            engines[name].release()
        assert client.read_answer()[0] == 200
    assert _ask(gateway, "limited").json()["model"] == "a"


def test_a_rate_that_is_used_up_is_stood_in_for(stand: Stand) -> None:
    gateway, _ = stand
    assert [_ask(gateway, "rated").json()["model"] for _ in range(4)] == ["a", "a", "b", "b"]
    assert [_ask(gateway, "auto-rated").status_code for _ in range(3)] == [200, 200, 429]


def test_the_dearest_of_a_chain_is_reserved(stand: Stand) -> None:
    """A budget that reaches for the first model and not for the last one reaches for none."""
    gateway, engines = stand
    assert gateway.chat("hi", POOR, model="a", max_tokens=1000).status_code == 200
    answer = gateway.chat("hi", POOR, model="safe", max_tokens=1000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert not engines["b"].asked


def test_the_dearest_is_reserved_where_a_stand_in_begins(stand: Stand) -> None:
    gateway, engines = stand
    _down(gateway, "a1", "a2")
    answer = gateway.chat("hi", POOR, model="steep", max_tokens=1000)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert not engines["a3"].asked
    assert _ask(gateway, "steep").json()["model"] == "a"


def test_who_stands_in_for_a_model_at_its_limit_counts_it(stand: Stand) -> None:
    gateway, engines = stand
    for name in ("a1", "a2"):
        engines[name].play([Act.WAIT, *plain(_said(name))])
    with gateway.connect() as client:
        body = json.dumps(chat_body(model="crowded")).encode()
        client.send(raw_chat(body).replace(BOB.encode(), OWNER.encode()))
        wait_until(lambda: engines["a1"].running + engines["a2"].running)
        assert [_ask(gateway, "crowded").status_code for _ in range(2)] == [200, 429]


def test_another_engine_of_the_model_may_go_on_with_a_turn(stand: Stand) -> None:
    gateway, engines = stand
    arm = _route(_ask(gateway, "engines", key=ALICE, tool_choice="none"))["arm"]
    own, other = {"one": ("a1", "a2"), "two": ("a2", "a1")}[arm]
    call = ("call-1", "calculate_math", '{"expression": "1+1"}')
    engines[own].play(streamed(call_events(call)), [Act.DIE])
    engines[other].play(_words("a"))
    answer = _ask(gateway, "engines", key=ALICE, stream=True)
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert len(engines[other].asked) == 1


def test_a_turn_keeps_the_model_that_began_it(stand: Stand) -> None:
    gateway, engines = stand
    call = ("call-1", "calculate_math", '{"expression": "1+1"}')
    engines["a1"].play(streamed(call_events(call)), [Act.DIE])
    _down(gateway, "a2")
    answer = _ask(gateway, "safe", key=ALICE, stream=True)
    assert b'"code":"engine_died"' in answer.content
    assert not engines["b"].asked


# Hedges


def test_the_ledger_names_who_answered_not_the_hedge_that_failed(stand: Stand) -> None:
    gateway, engines = stand
    engines["a1"].play([Act.WAIT, *plain(_said("a1"))])
    engines["a2"].play([Act.DIE])
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(_ask, gateway, "hedged")
        wait_until(lambda: engines["a2"].asked and not engines["a2"].running)
        engines["a1"].release()
        assert _entry(gateway, asking.result())["engine"] == "a1"


@pytest.mark.parametrize("kind", ["plain", "stream", "turn"])
def test_a_second_engine_is_asked_when_the_first_is_slow(stand: Stand, kind: str) -> None:
    gateway, engines = stand
    quick = _words("a2") if kind != "plain" else plain(_said("a2"))
    engines["a1"].play([Act.WAIT])
    engines["a2"].play(quick)
    before = gateway.metric("penstock_hedges_total", model="hedged", winner="second")
    key = ALICE if kind == "turn" else OWNER
    answer = _ask(gateway, "hedged", key=key, stream=kind == "stream")
    assert "a2" in answer.text
    assert "x-penstock-route" not in answer.headers
    wait_until(lambda: engines["a1"].aborted == 1)
    after = gateway.metric("penstock_hedges_total", model="hedged", winner="second")
    assert after == before + 1
    entry, hedge = _entry(gateway, answer), _entry(gateway, answer, "/hedge-1")
    assert (entry["engine"], entry["kind"]) == ("a2", "request")
    assert entry["cost_nano_usd"] == cost_of(CHEAP, 7, 0, 3)
    assert (hedge["kind"], hedge["cost_nano_usd"], hedge["tenant"]) == ("shadow", 0, "")
    assert hedge["note"] == "hedge at a1"


def test_an_engine_that_answers_in_time_is_not_hedged(stand: Stand) -> None:
    gateway, engines = stand
    for _ in range(5):
        assert _ask(gateway, "patient").status_code == 200
    assert len(engines["a1"].asked) + len(engines["a2"].asked) == 5


def test_the_first_may_still_win(stand: Stand) -> None:
    gateway, engines = stand
    engines["a1"].play([Act.WAIT, *plain(_said("a1"))])
    engines["a2"].play([Act.WAIT])

    def both() -> bool:
        return engines["a1"].running == engines["a2"].running == 1

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(_ask, gateway, "hedged")
        wait_until(both)
        engines["a1"].release()
        answer = future.result(60)
    assert "a1" in answer.text
    wait_until(lambda: engines["a2"].aborted == 1)


def test_a_client_that_leaves_ends_both(stand: Stand) -> None:
    gateway, engines = stand
    for name in ("a1", "a2"):
        engines[name].play([Act.WAIT])
    with gateway.connect() as client:
        body = json.dumps(chat_body(model="hedged")).encode()
        client.send(raw_chat(body).replace(BOB.encode(), OWNER.encode()))
        wait_until(lambda: engines["a1"].running == engines["a2"].running == 1)
    wait_until(lambda: engines["a1"].aborted == engines["a2"].aborted == 1)
    wait_until(lambda: gateway.metric("penstock_engine_outstanding") == 0)


# Shadows


@pytest.mark.parametrize("kind", ["plain", "stream", "turn"])
def test_a_copy_is_neither_seen_nor_paid(stand: Stand, kind: str) -> None:
    gateway, engines = stand
    script = plain(_said("a1")) if kind == "plain" else _words("a1")
    for name in ("a1", "a2"):
        engines[name].play(script)
    engines["c"].play(plain(_said("c")) if kind == "plain" else _words("c"))
    key, tenant = (ALICE, "alice") if kind == "turn" else (OWNER, "owner")
    answer = _ask(gateway, "mirrored", key=key, stream=kind == "stream")
    assert "a1" in answer.text
    assert "x-penstock-route" not in answer.headers
    wait_until(lambda: engines["c"].asked)
    asked = engines["c"].asked[0].json
    assert asked["model"] == "c"
    assert asked["messages"][-1] == {"role": "user", "content": "hi"}
    shadow = _entry(gateway, answer, "/shadow-1")
    assert (shadow["kind"], shadow["model"], shadow["outcome"]) == ("shadow", "c", "complete")
    assert (shadow["tenant"], shadow["cost_nano_usd"]) == ("", 0)
    assert (shadow["prompt_tokens"], shadow["completion_tokens"]) == (7, 3)
    assert _entry(gateway, answer)["tenant"] == tenant
    told = gateway.get("/v1/usage?group_by=model", key).json()["data"]
    assert "c" not in {row["model"] for row in told if row["usd"] == 0 and row["requests"] == 0}


def test_a_shadow_that_fails_or_hangs_changes_nothing(stand: Stand) -> None:
    gateway, engines = stand

    def count(outcome: str) -> float:
        return gateway.metric("penstock_shadows_total", model="c", outcome=outcome)

    failed, dropped = count("failed"), count("dropped")
    engines["c"].play([Act.DIE])
    assert _ask(gateway, "mirrored").status_code == 200
    wait_until(lambda: count("failed") == failed + 1)
    engines["c"].play([Act.WAIT, *plain(_said("c"))])
    for _ in range(5):
        assert _ask(gateway, "mirrored").status_code == 200
    wait_until(lambda: engines["c"].running == 2)
    wait_until(lambda: count("dropped") == dropped + 3)
    engines["c"].release()
    _down(gateway, "c")
    assert _ask(gateway, "mirrored").status_code == 200
    wait_until(lambda: count("dropped") == dropped + 4)


def test_a_refusal_is_not_copied(stand: Stand) -> None:
    gateway, engines = stand
    for name in ("a1", "a2"):
        engines[name].play(plain({"error": {"message": "bad"}}, "400 Bad"))
    assert _ask(gateway, "mirrored").status_code == 400
    assert _ask(gateway, "a").status_code == 400
    assert not engines["c"].asked


# Prefixes


def _home(engines: Engines) -> str:
    (name,) = [name for name, engine in engines.items() if engine.asked]
    engines[name].asked.clear()
    return name


def test_prompts_that_begin_alike_go_to_one_engine(stand: Stand) -> None:
    gateway, engines = stand
    homes: dict[tuple[str, str], str] = {}
    for key in (OWNER, ALICE):
        for topic in "abcdefgh":
            system = {"role": "system", "content": topic * 1100}
            for question in ("one", "another"):
                messages = [system, {"role": "user", "content": question}]
                body = {"model": "near", "messages": messages, "tool_choice": "none"}
                assert gateway.post("/v1/chat/completions", body, key).status_code == 200
                home = _home(engines)
                assert homes.setdefault((key, topic), home) == home
    owner, alice = ([homes[key, topic] for topic in "abcdefgh"] for key in (OWNER, ALICE))
    assert owner != alice, "what one tenant sends says nothing of another's places"
    assert len(set(owner + alice)) > 1


def test_a_conversation_stays_where_it_began(stand: Stand) -> None:
    gateway, engines = stand
    messages = [{"role": "user", "content": "hello"}]
    homes = set()
    for _ in range(5):
        body = {"model": "near", "messages": messages}
        assert gateway.post("/v1/chat/completions", body, OWNER).status_code == 200
        homes.add(_home(engines))
        messages += [{"role": "assistant", "content": "x"}, {"role": "user", "content": "more"}]
    assert len(homes) == 1
    (home,) = homes
    _down(gateway, home)
    body = {"model": "near", "messages": messages}
    assert gateway.post("/v1/chat/completions", body, OWNER).status_code == 200
    other = _home(engines)
    assert other != home
    admin(gateway, "POST", f"/engines/{home}/resume")
    assert gateway.post("/v1/chat/completions", body, OWNER).status_code == 200
    assert _home(engines) == home


# Names


@pytest.mark.parametrize("model", ["unknown", "", "auto ", "a1", "large", "new", "one"])
def test_an_unknown_model_is_never_another_one(stand: Stand, model: str) -> None:
    gateway, engines = stand
    for path in ("/v1/chat/completions", "/v1/completions", "/invoke"):
        body: dict[str, object] = chat_body(model=model)
        if path != "/v1/chat/completions":
            body = {"model": model, "prompt": "x"}
        answer = gateway.post(path, body, OWNER)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert not any(engine.asked for engine in engines.values())


def test_a_name_that_is_not_granted_is_unknown(stand: Stand) -> None:
    gateway, _ = stand
    for model in ("near", "hedged", "mirrored", "c"):
        assert _ask(gateway, model, key=NARROW).status_code == 404


def test_what_routing_did_is_counted(stand: Stand) -> None:
    gateway, _ = stand
    before = gateway.metric("penstock_routed_total", asked="auto", model="a", way="tier")
    _ask(gateway, "auto")
    after = gateway.metric("penstock_routed_total", asked="auto", model="a", way="tier")
    assert after == before + 1


def test_virtual_names_are_listed(stand: Stand) -> None:
    gateway, _ = stand
    names = {each["id"] for each in gateway.get("/v1/models", OWNER).json()["data"]}
    assert names == {model.name for model in MODELS}


def test_a_plain_model_says_nothing_of_routing(stand: Stand) -> None:
    gateway, _ = stand
    assert "x-penstock-route" not in _ask(gateway, "a").headers
