"""The conduit against an engine that plays bytes over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from tests.fakes.gateway_answers import (
    LAST,
    STREAM_HEAD,
    chat_events,
    chunk,
    completion,
    plain,
    streamed,
)
from tests.fakes.gateway_engine import Act, Script, ScriptedEngine, scripted_engine

from penstock.engines.conduit.connection import Exchange
from penstock.engines.conduit.framing import unframe
from penstock.engines.conduit.pool import Pool
from penstock.engines.conduit.sink import Head
from penstock.ground.errors import EngineDied, EngineError, EngineUnavailable, UserError

OK = b"HTTP/1.1 200 OK\r\n"
ANSWER = b"".join(plain({"ok": True}))


class Collector:
    """Sink that keeps everything; `seen` is told after each piece."""

    def __init__(
        self, *, takes_framed: bool = True, seen: Callable[[], None] = lambda: None
    ) -> None:
        self.takes_framed = takes_framed
        self.head: Head | None = None
        self.payload = bytearray()
        self.error: EngineError | None = None
        self.ended = asyncio.Event()
        self._seen = seen

    def on_head(self, head: Head) -> None:
        assert self.head is None
        self.head = head

    def on_events(self, framed: bytes) -> None:
        assert self.takes_framed
        self._take(unframe(framed))

    def on_bytes(self, payload: bytes) -> None:
        self._take(payload)

    def _take(self, payload: bytes) -> None:
        assert self.head is not None
        assert not self.ended.is_set()
        self.payload += payload
        self._seen()

    def on_end(self) -> None:
        assert not self.ended.is_set()
        self.ended.set()

    def on_lost(self, error: EngineError) -> None:
        assert not self.ended.is_set()
        self.error = error
        self.ended.set()

    async def end(self) -> None:
        """Wait for the end of the response."""
        async with asyncio.timeout(60):
            await self.ended.wait()

    @property
    def status(self) -> int:
        assert self.error is None, self.error
        assert self.head is not None
        return self.head.status


@pytest.fixture(scope="module")
def running_engine() -> Iterator[ScriptedEngine]:
    with scripted_engine() as engine:
        yield engine


@pytest.fixture
def engine(running_engine: ScriptedEngine) -> ScriptedEngine:
    running_engine.reset()
    return running_engine


@pytest.fixture
async def pool(engine: ScriptedEngine) -> AsyncIterator[Pool]:
    pool = Pool(engine.url, {"authorization": "Bearer secret"})
    yield pool
    await pool.close()


async def ask(pool: Pool, sink: Collector | None = None) -> Collector:
    """Ask once and wait for the end."""
    sink = sink or Collector()
    pool.post(b"/v1/chat/completions", b'{"a":1}', sink, b"req-1")
    await sink.end()
    return sink


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - the engine lives in another thread
            await asyncio.sleep(0.002)


async def test_a_request_is_written_as_it_should_be(engine: ScriptedEngine, pool: Pool) -> None:
    engine.play([ANSWER])
    assert (await ask(pool)).status == 200
    (asked,) = engine.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/v1/chat/completions", b'{"a":1}')
    assert asked.headers == {
        "host": f"127.0.0.1:{engine.port}",
        "authorization": "Bearer secret",
        "content-type": "application/json",
        "content-length": "7",
        "x-request-id": "req-1",
    }


async def test_a_base_path_goes_before_every_path(engine: ScriptedEngine) -> None:
    engine.play([ANSWER])
    pool = Pool(f"{engine.url}/base/")
    sink = Collector()
    pool.get(b"/ping", sink)
    await sink.end()
    assert (engine.asked[0].method, engine.asked[0].path) == ("GET", "/base/ping")
    await pool.close()


async def test_a_look_at_an_engine_is_no_work(engine: ScriptedEngine, pool: Pool) -> None:
    """Else a probe that is out would send a request to the other engine."""
    engine.play([Act.WAIT, ANSWER])
    looks = [Collector(), Collector()]
    exchanges = [pool.get(b"/ping", look) for look in looks]
    sink = Collector()
    pool.post(b"/", b"{}", sink, b"req-1")
    await until(lambda: engine.running == 3)
    assert pool.outstanding == 1
    pool.cancel(exchanges[0])
    engine.release()
    await looks[1].end()
    await sink.end()
    assert pool.outstanding == 0


@pytest.mark.parametrize("url", ["", "127.0.0.1:1", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="not the address of an engine"):
        Pool(url)


async def test_a_connection_is_kept_and_used_again(engine: ScriptedEngine, pool: Pool) -> None:
    engine.play(streamed(chat_events(["a"])), [ANSWER])
    for _ in range(5):
        assert (await ask(pool)).error is None
    assert engine.connections == 1
    assert pool.outstanding == 0


async def test_requests_at_once_have_connections_of_their_own(
    engine: ScriptedEngine, pool: Pool
) -> None:
    engine.play([Act.WAIT, ANSWER])
    sinks = [Collector() for _ in range(5)]
    for sink in sinks:
        pool.post(b"/", b"{}", sink, b"req-1")
    await until(lambda: engine.running == 5)
    assert pool.outstanding == 5
    engine.release()
    for sink in sinks:
        await sink.end()
    assert engine.connections == 5


async def test_a_stale_connection_is_tried_once_more(engine: ScriptedEngine, pool: Pool) -> None:
    engine.play([ANSWER], [Act.CLOSE], [ANSWER])
    await ask(pool)
    assert (await ask(pool)).status == 200
    assert engine.connections == 2
    assert len(engine.asked) == 3


async def test_a_fresh_connection_is_not_tried_twice(engine: ScriptedEngine, pool: Pool) -> None:
    engine.play([Act.CLOSE])
    assert isinstance((await ask(pool)).error, EngineDied)
    assert len(engine.asked) == 1


async def test_a_second_failure_is_an_error(engine: ScriptedEngine, pool: Pool) -> None:
    engine.play([ANSWER], [Act.DIE])
    await ask(pool)
    assert isinstance((await ask(pool)).error, EngineDied)
    assert len(engine.asked) == 3


async def test_what_an_idle_connection_did_before_does_not_matter(
    engine: ScriptedEngine, pool: Pool
) -> None:
    """One that was never used, because its client left while it was made, may be stale too."""
    engine.play([Act.CLOSE], [ANSWER])
    pool.cancel(pool.post(b"/", b"{}", Collector(), b"req-1"))
    await until(lambda: engine.connections == 1)
    await until(lambda: pool._idle)
    assert (await ask(pool)).status == 200
    assert engine.connections == 2


async def test_nobody_listens(engine: ScriptedEngine, pool: Pool) -> None:
    engine.stop()
    try:
        sink = await ask(pool)
    finally:
        engine.start()
    assert isinstance(sink.error, EngineUnavailable)
    assert engine.url in str(sink.error)
    assert pool.outstanding == 0


async def test_an_engine_that_was_restarted_is_found_again(
    engine: ScriptedEngine, pool: Pool
) -> None:
    engine.play([ANSWER])
    await ask(pool)
    engine.stop()
    engine.start()
    assert (await ask(pool)).status == 200


@pytest.mark.parametrize(
    ("answer", "payload", "kept"),
    [
        (OK + b"content-length: 5\r\n\r\nhello", b"hello", True),
        (OK + b"content-length: 0\r\n\r\n", b"", True),
        (OK + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello", b"hello", False),
        (OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello", True),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n0\r\nx: y\r\n\r\n", b"", True),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 4000 + ANSWER, b'{"ok": true}', True),
        (b"HTTP/1.1 103 Hints\r\ncontent-length: 9\r\n\r\n" + ANSWER, b'{"ok": true}', True),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}", b"{}", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", b"", True),
        (OK + b"x: " + b"y" * 60_000 + b"\r\ncontent-length: 5\r\n\r\nhello", b"hello", True),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else str(value),
)
@pytest.mark.parametrize("cut", [None, 1], ids=["whole", "cut"])
async def test_ways_to_end_a_body(
    engine: ScriptedEngine, pool: Pool, answer: bytes, payload: bytes, kept: bool, cut: int | None
) -> None:
    script = [answer] if cut is None else [answer[:cut], answer[cut:-1], answer[-1:]]
    engine.play(script, [ANSWER])
    sink = await ask(pool)
    assert sink.error is None
    assert sink.payload == payload
    await ask(pool)
    assert engine.connections == (1 if kept else 2)


async def test_a_body_may_end_with_its_connection(engine: ScriptedEngine, pool: Pool) -> None:
    engine.play([OK + b"content-type: text/event-stream\r\n\r\n", b"data: a\n\n", Act.CLOSE])
    sink = await ask(pool)
    assert sink.status == 200
    assert sink.payload == b"data: a\n\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        OK + b"content-length: five\r\n\r\n",
        OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        OK + b"x: " + b"y" * 70_000,
        OK + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello5\r\n",
    ],
    ids=lambda value: repr(value[:60]),
)
async def test_what_is_not_http_is_an_error(
    engine: ScriptedEngine, pool: Pool, answer: bytes
) -> None:
    engine.play([answer, Act.WAIT])
    sink = await ask(pool)
    assert isinstance(sink.error, EngineDied)
    await until(lambda: engine.aborted == 1)
    assert pool.outstanding == 0


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"content-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n",
        OK + b"content-length: 0\r\n\r\nmore",
        OK + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\nmore",
    ],
)
async def test_an_engine_that_says_more_is_not_asked_on_this_connection_again(
    engine: ScriptedEngine, pool: Pool, answer: bytes
) -> None:
    engine.play([answer], [ANSWER])
    assert (await ask(pool)).status == 200
    assert (await ask(pool)).payload == b'{"ok": true}'
    assert engine.connections == 2


async def test_bytes_nobody_asked_for_close_the_connection(
    engine: ScriptedEngine, pool: Pool
) -> None:
    engine.play([ANSWER, Act.WAIT, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"], [ANSWER])
    await ask(pool)
    engine.release()
    (idle,) = pool._idle
    await until(lambda: not idle.alive)
    assert (await ask(pool)).payload == b'{"ok": true}'
    assert engine.connections == 2


STREAM = b"".join(streamed(chat_events(["a", "b"])))


@pytest.mark.parametrize("act", [Act.CLOSE, Act.DIE])
async def test_an_engine_that_dies_at_any_byte(
    engine: ScriptedEngine, pool: Pool, act: Act
) -> None:
    payload = b"".join(chat_events(["a", "b"]))
    for at in range(0, len(STREAM) - 1):
        engine.play([STREAM[:at], act] if at else [act])
        sink = await ask(pool)
        assert isinstance(sink.error, EngineDied), at
        assert payload.startswith(bytes(sink.payload))
    assert pool.outstanding == 0
    engine.play([STREAM])
    assert (await ask(pool)).payload == payload


async def test_a_plain_answer_that_is_cut_short_is_an_error(
    engine: ScriptedEngine, pool: Pool
) -> None:
    answer = b"".join(plain(completion()))
    for at in (1, len(answer) // 2, len(answer) - 1):
        engine.play([answer[:at], Act.CLOSE])
        assert isinstance((await ask(pool)).error, EngineDied)


async def test_cancel_closes_the_connection(engine: ScriptedEngine, pool: Pool) -> None:
    engine.play([STREAM_HEAD, chunk(b"data: a\n\n"), Act.WAIT, LAST])
    sink = Collector()
    exchange = pool.post(b"/", b"{}", sink, b"req-1")
    await until(lambda: sink.payload)
    pool.cancel(exchange)
    pool.cancel(exchange)
    await until(lambda: engine.aborted == 1)
    assert pool.outstanding == 0
    assert not sink.ended.is_set()
    assert engine.running == 0


@pytest.mark.parametrize("framed", [True, False])
async def test_a_sink_may_cancel_from_its_callback(
    engine: ScriptedEngine, pool: Pool, framed: bool
) -> None:
    engine.play([STREAM, Act.WAIT])
    held: list[Exchange] = []
    sink = Collector(takes_framed=framed, seen=lambda: pool.cancel(held[0]))
    held.append(pool.post(b"/", b"{}", sink, b"req-1"))
    await until(lambda: engine.aborted == 1)
    assert not sink.ended.is_set()


async def test_an_error_of_the_sink_ends_the_exchange(engine: ScriptedEngine, pool: Pool) -> None:
    def refuse() -> None:
        raise EngineDied("too large")

    engine.play([STREAM, Act.WAIT])
    sink = Collector(seen=refuse)
    pool.post(b"/", b"{}", sink, b"req-1")
    await sink.end()
    assert str(sink.error) == "too large."
    await until(lambda: engine.aborted == 1)


async def test_a_paused_exchange_slows_the_engine_down(engine: ScriptedEngine, pool: Pool) -> None:
    """An endless engine is stopped by the socket's buffers, not by our memory."""
    piece = chunk(b"data: " + b"x" * 65_000 + b"\n\n")
    engine.play([STREAM_HEAD, *[piece] * 600, LAST])
    sink = Collector()
    exchange = pool.post(b"/", b"{}", sink, b"req-1")
    await until(lambda: sink.payload)
    exchange.pause()
    held = len(sink.payload)
    before = -1
    while before != engine.sent_bytes:  # until the kernel's buffers are full
        before = engine.sent_bytes
        await asyncio.sleep(0.1)
    assert engine.sent_bytes < 30_000_000
    assert len(sink.payload) <= held + 1_000_000
    exchange.resume()
    await sink.end()
    assert len(sink.payload) == 600 * 65_008


def pause_first(held: list[Exchange]) -> None:
    held[0].pause()


async def test_a_pause_does_not_outlive_its_exchange(engine: ScriptedEngine, pool: Pool) -> None:
    engine.play([ANSWER])
    held: list[Exchange] = []
    sink = Collector(seen=lambda: pause_first(held))
    held.append(pool.post(b"/", b"{}", sink, b"req-1"))
    await sink.end()
    held[0].pause()
    held[0].resume()
    assert (await ask(pool)).status == 200
    assert engine.connections == 1


async def test_close_gives_up_what_is_connecting(engine: ScriptedEngine) -> None:
    pool = Pool("http://127.0.0.1:9")
    pool.post(b"/", b"{}", Collector(), b"req-1")
    await pool.close()


@pytest.mark.parametrize("script", [[STREAM_HEAD, Act.WAIT], [Act.WAIT]], ids=["begun", "not"])
async def test_close_ends_what_is_out(engine: ScriptedEngine, script: Script) -> None:
    engine.play(script)
    pool, sink = Pool(engine.url), Collector()
    exchange = pool.post(b"/", b"{}", sink, b"req-1")
    await until(lambda: engine.running == 1)
    await pool.close()
    await until(lambda: engine.aborted == 1)
    assert not sink.ended.is_set()
    pool.cancel(exchange)
    assert pool.outstanding == 0
