"""What asks no model has a rate, too: it asks the database, which all tenants share."""

from itertools import count
from pathlib import Path

import httpx
import pytest
from tests.fakes.counting_engine import CountingEngine
from tests.fakes.gateway_engine import wait_until
from tests.gateway.batches.batch_gateway import batch_settings, line, start
from tests.gateway.gateway_process import BOB, TINY, GatewayProcess
from tests.gateway.registry_gateway import admin

PATHS = ("/v1/usage", "/v1/files", "/v1/batches", "/v1/files/file-none", "/v1/batches/batch-none")


def ask_until_refused(
    gateway: GatewayProcess, key: str, *paths: str
) -> tuple[int, httpx.Response]:
    """Ask as fast as it goes; returns how many were let in, and the refusal."""
    for number in count():
        answer = gateway.get(paths[number % len(paths)], key)
        if answer.status_code == 429:
            return number, answer
        assert answer.status_code in (200, 404)
        assert number < 5_000, "nothing was refused"
    raise AssertionError


def test_a_tenant_is_held_to_its_rate(engine: CountingEngine, tmp_path: Path) -> None:
    """Tiny's rate is below what everybody may: ten at once, five a second, of all together."""
    with GatewayProcess(batch_settings({"engine": engine.url}, tmp_path)) as gateway:
        passed, refused = ask_until_refused(gateway, TINY, *PATHS)
        assert passed >= 10
        assert float(refused.headers["retry-after"]) > 0
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert "tenant tiny has reached its limit" in error["message"]
        assert "5 requests a second, 10 at once" in error["message"]
        assert gateway.get("/v1/models", TINY).status_code == 200, "which asks no database"
        answers = [gateway.chat(key=TINY, max_tokens=2).status_code for _ in range(4)]
        assert answers == [200, 200, 200, 429], "who looks round loses no answer by it"
        told = [gateway.get("/v1/files", BOB).status_code for _ in range(passed + 20)]
        assert set(told) == {200}, "another tenant's rate is its own"


@pytest.mark.parametrize("path", ["/v1/files", "/v1/usage"])
def test_a_key_may_have_a_lower_rate(engine: CountingEngine, tmp_path: Path, path: str) -> None:
    with GatewayProcess(batch_settings({"engine": engine.url}, tmp_path)) as gateway:
        limits = {"requests_per_second": 6, "burst": 13}
        made = admin(gateway, "POST", "/keys", {"tenant": "bob", "limits": limits}).json()
        passed, refused = ask_until_refused(gateway, made["secret"], path)
        assert passed >= 13
        assert "6 requests a second, 13 at once" in refused.json()["error"]["message"]
        assert gateway.get(path, BOB).status_code == 200, "the tenant's other key"


def test_who_looks_round_does_not_hold_up_the_batch(
    engine: CountingEngine, tmp_path: Path
) -> None:
    with GatewayProcess(batch_settings({"engine": engine.url}, tmp_path)) as gateway:
        start(gateway.sdk(TINY), [line("q", "question")])
        ask_until_refused(gateway, TINY, "/v1/batches")
        wait_until(lambda: [row.ended for row in list(engine.journal.values())] == [True])
