"""From a file to a batch to its output, with the official SDK."""

from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from tests.fakes.counting_engine import CountingEngine
from tests.fakes.faketime import SystemClock
from tests.fakes.gateway_answers import completion, plain
from tests.fakes.gateway_engine import Act, scripted_engine, wait_until
from tests.gateway.batches.batch_gateway import (
    batch_settings,
    line,
    rows,
    start,
    upload,
    wait_for,
)
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess
from tests.gateway.real_engines import NAME
from tests.gateway.registry_gateway import admin, entries, entries_when

from penstock.gateway.routing.settings import RoutingSettings
from penstock.gateway.settings import Settings, TenantSettings
from penstock.registry.records import Budgets


def with_bob(settings: Settings, **changes: Any) -> Settings:
    """The settings with another bob, who has no tools: his requests go straight to the engine."""
    alice, bob, *rest = settings.tenants
    bob = msgspec.structs.replace(bob, **changes)
    return msgspec.structs.replace(settings, tenants=(alice, bob, *rest))


def test_a_batch_of_the_embedded_engine(embedded_url: str, tmp_path: Path) -> None:
    settings = batch_settings({"engine": embedded_url}, tmp_path)
    models = (msgspec.structs.replace(settings.models[0], name=NAME),)
    tenants = (TenantSettings("alice", tools=("calculate_math",)),)
    settings = msgspec.structs.replace(
        settings, models=models, tenants=tenants, keys=settings.keys[:1]
    )
    lines = [line(f"q-{n}", f"What is {n}?", model=NAME) for n in range(10)]
    question = {"max_tokens": 64, "temperature": 0, "seed": 1}
    lines[3]["body"] |= question | {"messages": [{"role": "user", "content": "What is 17 * 23?"}]}
    with GatewayProcess(settings) as gateway:
        client = gateway.sdk(ALICE)
        batch = start(client, lines)
        assert (batch.object, batch.status) == ("batch", "validating")
        done = wait_for(client, batch.id)
        assert done.status == "completed"
        assert done.error_file_id is None
        assert done.request_counts is not None
        assert done.request_counts.model_dump() == {"total": 10, "completed": 10, "failed": 0}
        assert done.completed_at is not None
        found = rows(client, done.output_file_id)
        assert found.keys() == {each["custom_id"] for each in lines}
        for row in found.values():
            assert row["error"] is None
            assert row["response"]["status_code"] == 200
            assert row["response"]["body"]["object"] == "chat.completion"
        tooled = found["q-3"]["response"]["body"]
        assert tooled["metadata"]["tool_rounds"] == 1, tooled
        told = entries_when(gateway, lambda found: len(found) == 11)
        requests = [one for one in told.values() if one["kind"] == "request"]
        assert all(one["request_id"].startswith(f"{batch.id}-") for one in told.values())
        assert {one["tenant"] for one in told.values()} == {"alice"}
        usage = [row["response"]["body"]["usage"] for row in found.values()]
        for name in ("prompt_tokens", "completion_tokens"):
            assert sum(one[name] for one in requests) == sum(each[name] for each in usage)
        shown = client.files.retrieve(done.output_file_id or "")
        assert (shown.purpose, shown.filename) == ("batch_output", f"{batch.id}_output.jsonl")
        assert gateway.metric("penstock_batch_lines_total", tenant="alice") == 10


def test_completions_have_batches_too(tmp_path: Path) -> None:
    with scripted_engine() as engine:
        engine.play(plain(completion()))
        with GatewayProcess(batch_settings({"engine": engine.url}, tmp_path)) as gateway:
            client = gateway.sdk(BOB)
            body = {"model": "scripted", "prompt": "x"}
            path = "/v1/completions"
            told = {"custom_id": "a", "method": "POST", "url": path, "body": body}
            batch = client.batches.create(
                input_file_id=upload(client, [told]),
                endpoint="/v1/completions",
                completion_window="24h",
                metadata={"what": "a test"},
            )
            done = wait_for(client, batch.id)
            assert rows(client, done.output_file_id).keys() == {"a"}
            assert done.metadata == {"what": "a test"}
            assert engine.asked[0].path == path


def test_what_engines_refuse_is_in_the_file_of_errors(tmp_path: Path) -> None:
    """What may pass is tried again; what is the line's own fault is not."""
    bad = plain({"error": {"message": "no", "type": "invalid_request_error"}}, "400 Bad Request")
    sick = plain(b"<html>", "500 Oh")
    with scripted_engine() as engine:
        engine.play(bad, sick, sick, sick, plain(completion()))
        settings = batch_settings({"engine": engine.url}, tmp_path, at_once=1)
        with GatewayProcess(settings) as gateway:
            client = gateway.sdk(BOB)
            done = wait_for(client, start(client, [line("a"), line("b"), line("c")]).id)
            assert done.status == "completed"
            assert done.request_counts is not None
            assert done.request_counts.failed == 2
            errors = rows(client, done.error_file_id)
            assert errors["a"]["response"]["status_code"] == 400
            assert errors["a"]["response"]["body"]["error"]["message"] == "no"
            assert errors["b"]["response"]["status_code"] == 502
            assert rows(client, done.output_file_id).keys() == {"c"}
            assert len(engine.asked) == 5


FLAWS: tuple[tuple[str, object, str], ...] = (
    ("no JSON", "{", "invalid_json"),
    ("a list", [], "invalid_line"),
    ("no id", {"method": "POST", "url": "/v1/chat/completions", "body": {}}, "invalid_line"),
    ("an empty id", line(""), "invalid_value"),
    ("unknown field", {**line("x"), "priority": 1}, "invalid_line"),
    ("method", {**line("x"), "method": "GET"}, "invalid_method"),
    ("url", {**line("x"), "url": "/v1/completions"}, "invalid_url"),
    ("foreign url", {**line("x"), "url": "http://169.254.169.254/"}, "invalid_url"),
    ("model", line("x", model="gpt-9"), "model_not_found"),
    ("a model of others", line("x", model="org-a"), "model_not_found"),
    ("stream", line("x", stream=True), "unsupported_parameter"),
    ("field of the body", line("x", temprature=1), "unknown_parameter"),
    ("twice", line("first"), "duplicate_custom_id"),
    ("long", line("x", "y" * 60_000), "line_too_long"),
)


def test_a_file_with_something_wrong_in_it_is_not_begun(
    engine: CountingEngine, tmp_path: Path
) -> None:
    settings = batch_settings({"engine": engine.url}, tmp_path, max_lines=20)
    settings = msgspec.structs.replace(settings, max_body_bytes=50_000)
    with GatewayProcess(settings) as gateway:
        client = gateway.sdk(BOB)
        lines = [line("first"), *(flaw for _, flaw, _ in FLAWS), line("last")]
        failed = wait_for(client, start(client, lines).id, ["failed"])
        assert failed.errors is not None
        assert failed.errors.data is not None
        told = [(one.line, one.code) for one in failed.errors.data]
        assert told == [(n, code) for n, (_, _, code) in enumerate(FLAWS, 2)]
        assert failed.failed_at is not None
        many = wait_for(client, start(client, [line(str(n)) for n in range(21)]).id, ["failed"])
        assert many.errors is not None
        assert many.errors.data is not None
        assert [one.code for one in many.errors.data] == ["too_many_lines"]
        blank = wait_for(client, start(client, ["", "  "]).id, ["failed"])
        assert blank.errors is not None
        assert not engine.journal
        assert not entries(gateway)


def test_cancel_lets_what_is_asked_come_to_its_end(tmp_path: Path) -> None:
    with scripted_engine() as engine:
        engine.play([Act.WAIT, *plain(completion())])
        settings = batch_settings({"engine": engine.url}, tmp_path, at_once=3, places=2)
        with GatewayProcess(settings) as gateway:
            client = gateway.sdk(BOB)
            batch = start(client, [line(str(n)) for n in range(9)])
            waiting = "penstock_batch_lines_waiting"
            wait_until(lambda: engine.running == 2 and gateway.metric(waiting) == 1)
            assert client.batches.cancel(batch.id).status == "cancelling"
            with pytest.raises(openai.BadRequestError, match="still reads this file"):
                client.files.delete(batch.input_file_id)
            wait_until(lambda: gateway.metric(waiting) == 0)
            engine.release()
            done = wait_for(client, batch.id, ["cancelled"])
            assert len(rows(client, done.output_file_id)) == 2
            errors = rows(client, done.error_file_id)
            assert {row["error"]["code"] for row in errors.values()} == {"batch_cancelled"}
            assert len(engine.asked) == 2
            assert client.batches.cancel(batch.id).status == "cancelled"
            assert client.files.delete(batch.input_file_id).deleted


def test_a_batch_that_is_over_cannot_be_cancelled(engine: CountingEngine, tmp_path: Path) -> None:
    with GatewayProcess(batch_settings({"engine": engine.url}, tmp_path)) as gateway:
        client = gateway.sdk(BOB)
        batch = wait_for(client, start(client, [line("a")]).id)
        with pytest.raises(openai.BadRequestError, match="nothing is left"):
            client.batches.cancel(batch.id)


def test_the_window_ends_and_what_was_done_is_kept(tmp_path: Path) -> None:
    """One line has its answer, one is being answered, one waits, and of one nobody has thought."""
    with scripted_engine() as engine, SystemClock(tmp_path, 0) as clock:
        engine.play(plain(completion()), [Act.WAIT, *plain(completion())])
        engines = {"engine": engine.url}
        settings = batch_settings(engines, tmp_path, at_once=2, places=1, window_s=3600.0)
        with GatewayProcess(settings, variables=clock.variables) as gateway:
            client = gateway.sdk(BOB)
            batch = start(client, [line("a"), line("b"), line("c"), line("d")])
            assert (batch.expires_at or 0) - batch.created_at in (3599, 3600, 3601)
            waiting = "penstock_batch_lines_waiting"
            wait_until(lambda: len(engine.asked) == 2 and gateway.metric(waiting) == 1)
            clock.set(7200)
            wait_until(lambda: gateway.metric(waiting) == 0)
            engine.release()
            done = wait_for(client, batch.id, ["expired"])
            assert rows(client, done.output_file_id).keys() == {"a", "b"}
            errors = rows(client, done.error_file_id)
            assert errors.keys() == {"c", "d"}
            assert {row["error"]["code"] for row in errors.values()} == {"batch_expired"}
            assert len(engine.asked) == 2
            assert done.expired_at is not None


def test_a_budget_ends_a_batch(engine: CountingEngine, tmp_path: Path) -> None:
    settings = batch_settings({"engine": engine.url}, tmp_path, at_once=2)
    settings = with_bob(settings, budgets=Budgets(tokens_per_day=2000))
    with GatewayProcess(settings) as gateway:
        client = gateway.sdk(BOB)
        lines = [line(str(n), "word " * 100) for n in range(60)]
        done = wait_for(client, start(client, lines).id)
        assert done.status == "completed"
        good, bad = rows(client, done.output_file_id), rows(client, done.error_file_id)
        assert good.keys() | bad.keys() == {str(n) for n in range(60)}
        assert good
        assert {row["error"]["code"] for row in bad.values()} == {"insufficient_quota"}
        spent = sum(row.prompt + row.tokens for row in list(engine.journal.values()))
        assert spent <= 2000
        told = entries_when(gateway, lambda found: len(complete_in(found)) == len(good))
        complete = complete_in(told)
        assert sum(o["prompt_tokens"] + o["completion_tokens"] for o in complete) == spent
        assert len(told) < len(lines), "what was not asked is not in the ledger"


def complete_in(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of the ledger that tell of an answer; others come while a budget is short."""
    return [one for one in found.values() if one["outcome"] == "complete"]


def test_limits_make_a_batch_wait(engine: CountingEngine, tmp_path: Path) -> None:
    settings = batch_settings({"engine": engine.url}, tmp_path)
    settings = with_bob(settings, requests_per_second=4.0, burst=2, concurrent_requests=2)
    with GatewayProcess(settings) as gateway:
        client = gateway.sdk(BOB).with_options(max_retries=10)  # to look has a rate, too
        done = wait_for(client, start(client, [line(str(n)) for n in range(8)]).id)
        assert len(rows(client, done.output_file_id)) == 8
        told = entries_when(gateway, lambda found: len(found) == 8)
        assert {one["outcome"] for one in told.values()} == {"complete"}


def test_a_revoked_key_ends_its_batches(tmp_path: Path) -> None:
    with scripted_engine() as engine:
        engine.play([Act.WAIT, *plain(completion())])
        settings = batch_settings({"engine": engine.url}, tmp_path, at_once=1)
        with GatewayProcess(settings) as gateway:
            made = admin(gateway, "POST", "/keys", {"tenant": "bob"}).json()
            batch = start(gateway.sdk(made["secret"]), [line(str(n)) for n in range(5)])
            wait_until(lambda: engine.running == 1)
            assert admin(gateway, "DELETE", f"/keys/{made['id']}").is_success
            wait_until(lambda: gateway.get("/v1/models", made["secret"]).status_code == 401)
            engine.release()
            client = gateway.sdk(BOB)
            done = wait_for(client, batch.id)
            assert len(rows(client, done.output_file_id)) == 1
            errors = rows(client, done.error_file_id)
            assert [row["error"]["code"] for row in errors.values()] == ["invalid_api_key"] * 4
            assert len(engine.asked) == 1


def test_an_engine_that_is_away_is_waited_for(tmp_path: Path) -> None:
    with scripted_engine() as engine:
        engine.play(plain(completion()))
        settings = batch_settings({"engine": engine.url}, tmp_path)
        with GatewayProcess(settings) as gateway:
            client = gateway.sdk(BOB)
            engine.stop()
            wait_until(lambda: gateway.get("/ready", None).status_code == 503)
            batch = start(client, [line("a"), line("b")])
            wait_for(client, batch.id, ["in_progress"])
            engine.start()
            done = wait_for(client, batch.id)
            assert done.request_counts is not None
            assert done.request_counts.completed == 2


def test_another_model_stands_in_for_lines_too(tmp_path: Path) -> None:
    with scripted_engine() as engine, scripted_engine() as other:
        engine.play(plain(completion()))
        other.play(plain(completion("from another")))
        settings = batch_settings({"engine": engine.url, "other": other.url}, tmp_path)
        first, second = settings.models
        routing = RoutingSettings(fallback=("org-a",))
        first = msgspec.structs.replace(first, engines=("engine",), routing=routing)
        second = msgspec.structs.replace(
            second, engines=("other",), elsewhere=True, routing=RoutingSettings()
        )
        settings = msgspec.structs.replace(settings, models=(first, second))
        settings = with_bob(settings, models=("*",))
        with GatewayProcess(settings) as gateway:
            client = gateway.sdk(BOB)
            engine.stop()
            wait_until(lambda: gateway.metric("penstock_engine_up", engine="engine") == 0, 20)
            done = wait_for(client, start(client, [line("a"), line("b")]).id)
            found = rows(client, done.output_file_id)
            assert found.keys() == {"a", "b"}
            for row in found.values():
                content = row["response"]["body"]["choices"][0]["message"]["content"]
                assert content == "from another"
            told = entries_when(gateway, lambda found: len(found) == 2)
            assert {one["adapter"] or one["model"] for one in told.values()} == {"org-a"}
