"""Engines that fail, are full or are drained, and what the gateway makes of their gauges."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.fakes.gateway_answers import (
    STREAM_HEAD,
    chat_events,
    chunk,
    completion,
    delta,
    plain,
    streamed,
)
from tests.fakes.gateway_engine import Act, ScriptedEngine, scripted_engine, wait_until
from tests.gateway.gateway_process import ALICE, GatewayProcess, raw_chat, settings_for
from tests.gateway.registry_gateway import admin, registry_settings

from penstock.gateway.routing.settings import BreakerSettings

QUICK = BreakerSettings(failures=3, open_s=1.5)
GOOD = plain(completion("good"))


@pytest.fixture(scope="module")
def _fleet(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[GatewayProcess, ScriptedEngine, ScriptedEngine]]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    with scripted_engine() as one, scripted_engine() as other:
        engines = {"one": one.url, "other": other.url}
        settings = registry_settings(engines, folder, str(folder / "registry.db"))
        settings = msgspec.structs.replace(settings, breaker=QUICK)
        with GatewayProcess(settings) as gateway:
            yield gateway, one, other


Fleet = tuple[GatewayProcess, ScriptedEngine, ScriptedEngine]


@pytest.fixture
def fleet(_fleet: Fleet) -> Fleet:
    """A gateway with two engines, both in good health."""
    gateway, one, other = _fleet
    for engine in (one, other):
        engine.reset()
        engine.play(GOOD)
    for name in ("one", "other"):
        admin(gateway, "POST", f"/engines/{name}/resume")

    def healthy() -> bool:
        gateway.chat()
        state = gateway.get("/ready", None).json()
        known = gateway.metric("penstock_engine_foreign") == 0
        return known and not state["circuits_open"] and not state["engines_down"]

    wait_until(healthy)
    for engine in (one, other):
        engine.asked.clear()
    return _fleet


@pytest.mark.parametrize("tools", [False, True], ids=["straight", "turn"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", ["429 Full", "503 Full"])
def test_a_full_engine_is_passed_over(
    fleet: Fleet, status: str, stream: bool, tools: bool
) -> None:
    gateway, one, other = fleet
    one.play(plain({"error": {"message": "full"}}, status))
    other.play(streamed(chat_events(["ok"])) if stream or tools else plain(completion("ok")))
    more = {"key": ALICE} if tools else {}
    assert "ok" in gateway.chat(stream=stream, **more).text
    assert len(one.asked) == len(other.asked) == 1


@pytest.mark.parametrize("tools", [False, True], ids=["straight", "turn"])
def test_a_bad_request_is_not_asked_again(fleet: Fleet, tools: bool) -> None:
    gateway, one, other = fleet
    for engine in (one, other):
        engine.play(plain({"error": {"message": "bad"}}, "400 Bad"))
    more = {"key": ALICE} if tools else {}
    assert gateway.chat(**more).status_code == 400
    assert len(one.asked) + len(other.asked) == 1


def test_where_all_are_full_the_client_is_told_so(fleet: Fleet) -> None:
    gateway, one, other = fleet
    for engine in (one, other):
        engine.play(plain({"error": {"message": "full", "code": "full"}}, "429 Full"))
    answer = gateway.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "full")
    assert len(one.asked) == len(other.asked) == 1


def is_open_still(since_s: float) -> bool:
    """Whether a circuit that opened after `since_s` has not had the time to be half open."""
    return time.monotonic() - since_s < QUICK.open_s


@pytest.mark.parametrize(
    "script", [[STREAM_HEAD, Act.DIE], plain(b"sick", "503 Sick")], ids=["dies", "503"]
)
@pytest.mark.parametrize("tools", [False, True], ids=["straight", "turn"])
def test_a_circuit_opens_is_tried_and_closes(
    fleet: Fleet, script: list[bytes | Act], tools: bool
) -> None:
    gateway, one, other = fleet
    good = streamed(chat_events(["good"])) if tools else GOOD
    one.play(script)
    other.play(good)
    more = {"key": ALICE} if tools else {}
    since_s = time.monotonic()
    for _ in range(3):
        assert gateway.chat(**more).status_code == 200
    assert gateway.get("/ready", None).json()["circuits_open"] == ["one"]
    state = gateway.metric("penstock_engine_circuit", engine="one")
    asked = len(one.asked)
    assert gateway.chat(**more).status_code == 200
    if is_open_still(since_s):
        assert (state, len(one.asked)) == (2, asked)

    def half_open() -> bool:
        return gateway.metric("penstock_engine_circuit", engine="one") == 1

    wait_until(half_open)
    asked, since_s = len(one.asked), time.monotonic()
    assert gateway.chat(**more).status_code == 200  # the trial, which fails
    assert len(one.asked) == asked + 1
    state = gateway.metric("penstock_engine_circuit", engine="one")
    assert state == 2 or not is_open_still(since_s)
    one.play(good)
    wait_until(half_open)
    assert gateway.chat(**more).status_code == 200
    assert len(one.asked) == asked + 2
    assert gateway.metric("penstock_engine_circuit", engine="one") == 0


def test_half_open_lets_one_request_through(fleet: Fleet) -> None:
    """Until the trial is as old as an open circuit gets: then another one may try."""
    _, one, other = fleet
    one.play([Act.DIE])
    other.play(GOOD)
    engines = {"one": one.url, "other": other.url}
    rules = BreakerSettings(failures=3, open_s=5.0)
    with GatewayProcess(settings_for(engines, breaker=rules)) as gateway:
        for _ in range(3):
            gateway.chat()
        wait_until(lambda: gateway.metric("penstock_engine_circuit", engine="one") == 1)
        one.asked.clear()
        one.play([Act.WAIT, *GOOD])
        with gateway.connect() as trial:
            trial.send(raw_chat())
            wait_until(lambda: one.running == 1)
            for _ in range(5):
                assert gateway.chat().status_code == 200
            assert len(one.asked) == 1
            one.release()
            assert trial.read_answer()[0] == 200


def test_an_engine_that_hangs_counts_as_failing(fleet: Fleet) -> None:
    _, one, _ = fleet
    one.play([Act.WAIT])
    rules = BreakerSettings(failures=3, open_s=600.0)
    settings = settings_for({"one": one.url}, breaker=rules, request_timeout_s=1.0)
    with GatewayProcess(settings) as gateway:
        with gateway.connect() as a, gateway.connect() as b, gateway.connect() as c:
            for client in (a, b, c):
                client.send(raw_chat())
            for client in (a, b, c):
                assert client.read_answer()[0] == 504
        assert gateway.get("/ready", None).json()["circuits_open"] == ["one"]
        refused = gateway.chat()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")


def test_a_drained_engine_finishes_what_it_has(fleet: Fleet) -> None:
    gateway, one, _ = fleet
    pieces = streamed(chat_events(["a", "b"]))
    one.play([*pieces[:3], Act.WAIT, *pieces[3:]])
    with gateway.connect() as client:
        client.send(raw_chat(stream=True))
        wait_until(lambda: one.running == 1)
        shown = admin(gateway, "POST", "/engines/one/drain").json()
        assert (shown["draining"], shown["usable"], shown["outstanding"]) == (True, False, 1)
        for _ in range(4):
            assert gateway.chat().status_code == 200
        assert len(one.asked) == 1
        assert gateway.get("/ready", None).json()["engines_draining"] == ["one"]
        assert gateway.metric("penstock_engine_draining", engine="one") == 1
        one.release()
        assert client.read_until(b"[DONE]\n\n\r\n0\r\n\r\n")
    admin(gateway, "POST", "/engines/one/resume")
    one.play(GOOD)
    gateway.chat()
    assert len(one.asked) == 2


def test_draining_takes_the_admin_key_and_a_name(fleet: Fleet) -> None:
    gateway, *_ = fleet
    assert admin(gateway, "POST", "/engines/one/drain", key=ALICE).status_code == 401
    answer = admin(gateway, "POST", "/engines/nobody/drain")
    assert answer.status_code == 404
    assert "There are: one, other" in answer.json()["error"]["message"]
    listed = admin(gateway, "GET", "/engines").json()["data"]
    assert [engine["name"] for engine in listed] == ["one", "other"]


def _gauges(running: float, waiting: float = 0, cache: float = 0) -> list[bytes]:
    text = (
        f'vllm:num_requests_running{{engine="0"}} {running}\n'
        f'vllm:num_requests_waiting{{engine="0"}} {waiting}\n'
        f'vllm:kv_cache_usage_perc{{engine="0"}} {cache}\n'
    )
    return plain(text.encode())


def test_work_that_others_sent_counts(fleet: Fleet) -> None:
    gateway, one, other = fleet
    one.gauges = _gauges(running=3, waiting=2)
    other.gauges = _gauges(running=1)
    wait_until(lambda: gateway.metric("penstock_engine_foreign") == 6)
    for _ in range(3):
        gateway.chat()
    assert (len(one.asked), len(other.asked)) == (0, 3)
    one.gauges = other.gauges = plain(b"", "404 No")
    wait_until(lambda: gateway.metric("penstock_engine_foreign") == 0)
    gateway.chat()
    assert len(one.asked) == 1


def test_a_full_cache_weighs(fleet: Fleet) -> None:
    gateway, one, other = fleet
    one.gauges = _gauges(running=2, cache=0.9)
    other.gauges = _gauges(running=3, cache=0.0)
    wait_until(lambda: gateway.metric("penstock_engine_foreign") == 5)
    gateway.chat()
    assert (len(one.asked), len(other.asked)) == (0, 1)


def test_an_engine_that_dies_in_mid_stream_counts_as_failing(fleet: Fleet) -> None:
    gateway, one, _ = fleet
    one.play([STREAM_HEAD, chunk(delta("a")), Act.DIE])
    for _ in range(3):
        assert b'"code":"engine_died"' in gateway.chat(stream=True).content
    assert gateway.get("/ready", None).json()["circuits_open"] == ["one"]


def test_a_restarted_engine_is_asked_at_once() -> None:
    with scripted_engine() as engine:
        rules = BreakerSettings(failures=2, open_s=600.0)
        settings = settings_for({"engine": engine.url}, breaker=rules)
        with GatewayProcess(settings) as gateway:
            engine.play([Act.DIE])
            for _ in range(2):
                assert gateway.chat().status_code == 502
            assert gateway.chat().status_code == 503
            engine.stop()
            wait_until(lambda: gateway.get("/ready", None).status_code == 503)
            engine.start()
            engine.play(GOOD)
            wait_until(lambda: gateway.get("/ready", None).status_code == 200)
            assert gateway.chat().status_code == 200
