"""The conduit over TLS: real sockets, a real handshake, an authority of the test's own."""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from tests.engines.conduit.test_pool import Collector
from tests.fakes.authority import Authority
from tests.fakes.gateway_answers import chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import ScriptedEngine, scripted_engine

from penstock.engines.conduit.pool import Pool
from penstock.ground.errors import EngineUnavailable


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def named() -> list[str | None]:
    """The names that clients have asked for in their handshakes (SNI)."""
    return []


@pytest.fixture(scope="module")
def engine(authority: Authority, named: list[str | None]) -> Iterator[ScriptedEngine]:
    tls = authority.server("localhost")

    def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        named.append(name)

    tls.sni_callback = note
    with scripted_engine(tls) as running:
        yield running


@pytest.fixture
def _trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))


@asynccontextmanager
async def asked(url: str, *, times: int = 1) -> AsyncIterator[Collector]:
    pool = Pool(url, {"authorization": "Bearer one"}, "the engine")
    try:
        for _ in range(times):
            sink = Collector(takes_framed=False)
            pool.post(b"/v1/chat/completions", b"{}", sink, b"r-1")
            await sink.ended.wait()
        yield sink
    finally:
        await pool.close()


@pytest.mark.usefixtures("_trusted")
async def test_it_names_the_host_and_keeps_the_connection(
    engine: ScriptedEngine, named: list[str | None]
) -> None:
    engine.reset()
    engine.play(plain(completion()))
    named.clear()
    async with asked(f"https://localhost:{engine.port}", times=3) as sink:
        assert sink.error is None
        assert sink.head is not None
        assert sink.head.status == 200
    assert named == ["localhost"]
    assert engine.connections == 1
    assert [each.headers["host"] for each in engine.asked] == [f"localhost:{engine.port}"] * 3


@pytest.mark.usefixtures("_trusted")
async def test_streams_come_through(engine: ScriptedEngine) -> None:
    engine.reset()
    engine.play(streamed(chat_events(["one", "two"])))
    async with asked(f"https://localhost:{engine.port}") as sink:
        assert bytes(sink.payload) == b"".join(chat_events(["one", "two"]))


@pytest.mark.usefixtures("_trusted")
async def test_a_certificate_for_another_name_is_refused(engine: ScriptedEngine) -> None:
    engine.reset()
    async with asked(f"https://127.0.0.1:{engine.port}") as sink:
        assert isinstance(sink.error, EngineUnavailable)
        assert "127.0.0.1" in str(sink.error)
    assert engine.asked == []


async def test_an_authority_that_nobody_trusts_is_refused(engine: ScriptedEngine) -> None:
    engine.reset()
    async with asked(f"https://localhost:{engine.port}") as sink:
        assert isinstance(sink.error, EngineUnavailable)
        assert "certificate verify failed" in str(sink.error)
    assert engine.asked == []


@pytest.mark.usefixtures("_trusted")
async def test_headers_can_be_changed_while_it_runs(engine: ScriptedEngine) -> None:
    engine.reset()
    engine.play(plain(completion()))
    pool = Pool(f"https://localhost:{engine.port}", {"authorization": "Bearer one"})
    for secret in ("one", "two"):
        pool.use_headers({"authorization": f"Bearer {secret}"})
        sink = Collector()
        pool.post(b"/v1/chat/completions", b"{}", sink, b"r-1")
        await sink.ended.wait()
    await pool.close()
    assert [each.headers["authorization"] for each in engine.asked] == ["Bearer one", "Bearer two"]
