"""Everything at once: queue, cache, hedges, stand-ins, shadows, tools, budgets, audit.

Engines fail at random, clients leave at random. Afterwards every request is on the books once, and
nothing is held any more: no money, no place, no slot, no task.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from tests.fakes.gateway_answers import call_events, chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import Act, Script, ScriptedEngine, scripted_engine
from tests.gateway.gateway_process import ALICE, BOB, chat_body, key_settings
from tests.gateway.registry_gateway import ADMIN, registry_settings
from tests.gateway.test_audited import KEY, lines
from tests.gateway.test_trip import Client

from penstock.gateway.answer import Answer
from penstock.gateway.front import CHAT, Front
from penstock.gateway.routing.settings import BreakerSettings, RoutingSettings, ShadowSettings
from penstock.gateway.server import GatewayServer
from penstock.gateway.settings import (
    AuditSettings,
    CacheSettings,
    ModelSettings,
    QueueSettings,
    Settings,
    TenantSettings,
)
from penstock.gateway.turns import TurnAnswer
from penstock.gateway.waiting import Waiting
from penstock.ground.errors import StoreUnavailable
from penstock.registry.records import Budgets, Limits, Price
from penstock.targets.local.ports import free_port
from penstock.wiring.gateway import make_gateway

CHEAP, DEAR = Price.per_million(1, 1, 1), Price.per_million(20, 20, 20)
WORDS = [f"w{number}" for number in range(6)]
STREAM = streamed(chat_events(WORDS))
CALL = streamed(call_events(("c1", "calculate_math", '{"expression": "2+3"}')))
REFUSAL = plain({"error": {"message": "no", "type": "x", "code": "y"}}, "400 Bad Request")
SCRIPTS: tuple[Script, ...] = (
    STREAM,
    STREAM,
    CALL,
    plain(completion()),
    [Act.WAIT, *STREAM],
    [*STREAM[:3], Act.WAIT, *STREAM[3:]],
    [*STREAM[:4], Act.DIE],
    [Act.DIE],
    plain(b"full", "503 Full"),
    plain(b"broken", "500 Broken"),
    REFUSAL,
)
MODELS = ("all", "b", "near", "auto-b")


@pytest.fixture
def engines() -> Iterator[dict[str, ScriptedEngine]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(scripted_engine()) for name in ("a1", "a2", "b", "c")}


def everything(engines: dict[str, ScriptedEngine], root: Path) -> Settings:
    """A gateway with all that can be on."""
    urls = {name: engine.url for name, engine in engines.items()}
    plain_settings = registry_settings(urls, root, str(root / "r.db"))
    (root / "audit.key").write_text(KEY.hex())
    cached = msgspec.structs.replace(CHEAP, from_cache=0.5)
    shadow = ShadowSettings(0.5, "c", at_once=4)
    a, rate = ("a1", "a2"), Limits(requests_per_second=1e6, burst=10**6, concurrent_requests=6)
    routing = RoutingSettings(hedge_after_ms=30.0, fallback=("near", "b"), shadow=shadow)
    free: dict[str, Any] = {"requests_per_second": 1e6, "burst": 10**6, "requests_per_day": 10**9}
    tenants = (
        TenantSettings("alice", tools=("calculate_math",), concurrent_requests=20,
                       budgets=Budgets(tokens_per_day=10**6), **free),
        TenantSettings("bob", budgets=Budgets(usd_per_day=0.08), **free),
    )  # fmt: skip
    return msgspec.structs.replace(
        plain_settings,
        port=free_port(),
        models=(
            ModelSettings("all", a, context=2048, price=cached, limits=rate, routing=routing),
            ModelSettings("near", a, context=2048, price=CHEAP,
                          routing=RoutingSettings(prefix=True, fallback=("b",))),
            ModelSettings("auto-b", (), routing=RoutingSettings(fallback=("all", "b"))),
            ModelSettings("b", ("b",), context=2048, price=DEAR),
            ModelSettings("c", ("c",), context=2048, price=DEAR),
        ),
        tenants=tenants,
        keys=(key_settings(ALICE, "alice"), key_settings(BOB, "bob")),
        queue=QueueSettings(2, max_wait_s=1.0, max_waiting=8, max_waiting_per_tenant=6),
        cache=CacheSettings(models=("all",), tools=True),
        audit=AuditSettings(str(root / "audit"), key_file=str(root / "audit.key"),
                            content="full"),
        breaker=BreakerSettings(failures=4, open_s=0.3),
    )  # fmt: skip


class Running(NamedTuple):
    """A gateway in this process, and what is inside it."""

    url: str
    port: int
    front: Front


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Running]:
    gateway: GatewayServer = make_gateway(settings)
    server = gateway._server
    serving = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started)
        doors = server.config.http.keywords["doors"]  # type: ignore[union-attr]
        front = doors.begin.__self__
        yield Running(f"http://127.0.0.1:{settings.port}", settings.port, front)
    finally:
        server.should_exit = True
        await serving


async def until(true: Callable[[], object], limit_s: float = 60.0) -> None:
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110  there is nothing to be told by
            await asyncio.sleep(0.01)


async def ask(port: int, rng: random.Random) -> bytes | None:
    """Send one request; return the whole answer, or none where its client left before the end."""
    stays, delay_s = rng.random() < 0.7, rng.random() * 0.3
    fields = {"temperature": 0, "max_tokens": 50, "stream": rng.random() < 0.6}
    body = chat_body(f"hi {rng.randrange(6)}", rng.choice(MODELS), **fields)
    path = b"/invoke" if rng.random() < 0.1 else b"/v1/chat/completions"
    if path == b"/invoke":
        body = {"prompt": "hi", "model": "all"}
    content = msgspec.json.encode(body)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = rng.choice((ALICE, BOB)).encode()
    head = b"POST %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer %b\r\n"
    writer.write((head + b"content-length: %d\r\n\r\n%b") % (path, key, len(content), content))
    try:
        if stays:
            return await reader.read()
        first = asyncio.create_task(reader.read(1))
        await asyncio.sleep(0.02 + delay_s)
        if not first.done():
            # A reset would take along what the gateway has not read yet: then nobody has asked.
            first.cancel()
            writer.close()
        return None
    finally:
        if not writer.is_closing():
            writer.transport.abort()


def ledger(url: str) -> list[dict[str, Any]]:
    """Every line there is."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = httpx.get(
            f"{url}/admin/usage/entries{after}",
            headers={"authorization": f"Bearer {ADMIN}"},
            timeout=60,
        ).json()
        found += page["data"]
        if page["next"] is None:
            return found
        after = f"?after={page['next']}"


def is_whole(answer: bytes) -> bool:
    """Whether these bytes are exactly one answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if answer.count(b"HTTP/1.1 ") != 1:
        return False
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n") and body.count(b"\r\n0\r\n\r\n") == 1
    length = next(h for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:"))
    return len(body) == int(length.partition(b":")[2])


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_held_and_everything_is_on_the_books_once(
    engines: dict[str, ScriptedEngine],
    tmp_path: Path,
    seed: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rng, sent = random.Random(seed), 80
    for engine in engines.values():
        engine.play(*(rng.choice(SCRIPTS) for _ in range(sent)), STREAM)
    async with served(everything(engines, tmp_path)) as gateway:
        charges, admission = gateway.front._charges, gateway.front._admission
        await asyncio.sleep(0.1)
        before = len(asyncio.all_tasks())
        asking = []
        for _ in range(sent):
            asking.append(asyncio.create_task(ask(gateway.port, rng)))
            await asyncio.sleep(rng.random() * 0.02)
        await asyncio.sleep(0.5)
        for engine in engines.values():
            engine.release()
        answers = [answer for answer in await asyncio.gather(*asking) if answer is not None]
        assert [each for each in answers if not is_whole(each)] == []

        slots = charges.slots
        assert slots is not None
        await until(lambda: slots.open == 0)  # every line is in the ledger
        rows = await asyncio.to_thread(ledger, gateway.url)
        routes = admission.routes.values()
        gates = [each.gate for each in routes if each.gate is not None]
        gates += [each.gate for each in admission._accounts.values()]
        assert [gate.running for gate in gates] == [0] * len(gates)
        queues = [each.line for each in routes if each.line is not None]
        assert {(line.running, line.waiting) for line in queues} == {(0, 0)}
        purses = admission.purses()
        assert {purse.reserved for purse in purses} == {0}
        assert min(purse.free for purse in purses) >= 0
        await until(lambda: len(asyncio.all_tasks()) <= before)

    asked = [row for row in rows if row["kind"] == "request"]
    assert len({row["request_id"] for row in rows}) == len(rows)
    assert len(asked) == sent
    assert all(row["tenant"] for row in asked)
    computed = [row for row in asked if row["outcome"] != "from_cache"]
    assert {row["cost_nano_usd"] for row in computed if not row["engine"]} == {0}
    unbilled = [row for row in rows if row["kind"] == "shadow"]
    assert {(row["tenant"], row["cost_nano_usd"]) for row in unbilled} <= {("", 0)}
    spent = sum(row["cost_nano_usd"] for row in asked if row["tenant"] == "bob")
    assert spent <= 0.08e9
    audited = [line for line in lines(tmp_path) if line["kind"] == "request"]
    outcomes = {line["request_id"]: line["outcome"] for line in audited}
    assert outcomes == {row["request_id"]: row["outcome"] for row in asked}
    assert len(audited) == sent
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


def begun(gateway: Running, key: str) -> tuple[Answer, Client]:
    client = Client()
    client.request_id = b"req-%d" % id(client)
    body = msgspec.json.encode(chat_body(model="b", max_tokens=5))
    return gateway.front.begin(client, CHAT, key.encode(), body), client


async def test_who_is_ended_before_it_begins_is_told_and_on_the_books(
    engines: dict[str, ScriptedEngine], tmp_path: Path
) -> None:
    engines["b"].play(STREAM)
    async with served(everything(engines, tmp_path)) as gateway:
        waiting, _ = begun(gateway, ALICE)  # its purse is empty yet
        waiting.cancel()
        late, told = begun(gateway, ALICE)
        late.expire()
        assert {type(waiting), type(late)} == {Waiting}
        assert told.fault is not None
        assert told.fault.status == 504
        _, client = begun(gateway, ALICE)
        await client.done.wait()
        turn, told = begun(gateway, ALICE)
        assert isinstance(turn, TurnAnswer)
        turn.expire()
        await asyncio.wait_for(told.done.wait(), 60)
        assert told.fault is not None
        assert told.fault.status == 504
        slots = gateway.front._charges.slots
        await until(lambda: slots is not None and slots.open == 0)
        rows = await asyncio.to_thread(ledger, gateway.url)
    outcomes = sorted(row["outcome"] for row in rows if row["kind"] == "request")
    assert outcomes == ["client_gone", "complete", "timeout", "timeout"]
    assert {row["model"] for row in rows} == {"b"}


class FullSpool:
    """Satisfies `auditing.Spooling`; takes nothing."""

    has_room = False

    def append(self, kind: int, payload: bytes) -> None:
        raise StoreUnavailable("the audit cannot be written now")


async def test_what_cannot_be_audited_holds_nothing(
    engines: dict[str, ScriptedEngine], tmp_path: Path
) -> None:
    async with served(everything(engines, tmp_path)) as gateway:
        charges, admission = gateway.front._charges, gateway.front._admission
        assert charges.audit is not None
        charges.audit._spool = FullSpool()
        chat, invoke = chat_body(model="b", max_tokens=5), {"prompt": "hi", "model": "b"}
        async with httpx.AsyncClient(
            headers={"authorization": f"Bearer {BOB}"}, timeout=60
        ) as client:
            answers = [
                await client.post(f"{gateway.url}{path}", json=body)
                for path, body in (("/v1/chat/completions", chat), ("/invoke", invoke))
            ]
        assert [each.status_code for each in answers] == [503, 503]
        assert {each.gate.running for each in admission._accounts.values()} == {0}
        assert {purse.reserved for purse in admission.purses()} == {0}
        slots = charges.slots
        await until(lambda: slots is not None and slots.open == 0)
