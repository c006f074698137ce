"""The door: what HTTP may look like, how much of it, and how long it may take."""

import json
import select
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.fakes.gateway_answers import (
    LAST,
    chat_events,
    chunk,
    delta,
    plain,
    streamed,
)
from tests.fakes.gateway_engine import Act, ScriptedEngine, wait_until
from tests.gateway.gateway_process import (
    BOB,
    GatewayProcess,
    chat_body,
    raw_chat,
    settings_for,
)

GET_HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module")
def hasty(_engine: ScriptedEngine) -> Iterator[GatewayProcess]:
    """A gateway that waits a second for a request: for clients that are meant to be too slow."""
    with GatewayProcess(settings_for({"engine": _engine.url}, body_timeout_s=1.0)) as process:
        yield process


def error_of(body: bytes) -> dict[str, object]:
    """The error in OpenAI's shape."""
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


def test_connections_are_kept(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    with gateway.connect() as client:
        for _ in range(3):
            client.send(raw_chat())
            status, headers, body = client.read_answer()
            assert status == 200
            assert json.loads(body)["choices"][0]["message"]["content"] == "Hello"
            assert headers["x-request-id"].startswith("req-")
            assert "date" in headers
            client.send(GET_HEALTH)
            assert client.read_answer()[0] == 200
    assert len({asked.headers["x-request-id"] for asked in engine.asked}) == 3


def test_connection_close_is_obeyed(gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        client.send(raw_chat(extra=b"connection: close\r\n"))
        got = client.read_all()
    assert b"\r\nconnection: close\r\n" in got
    assert got.endswith(b"}")


def test_http_1_0_gets_no_chunks(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    events = chat_events(["a", "b"], usage=False)
    engine.play(streamed(events))
    with gateway.connect() as client:
        client.send(raw_chat(stream=True).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        head, _, body = client.read_all().partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"".join(events)


def test_http_1_0_gets_a_plain_answer(gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        client.send(raw_chat().replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        assert client.read_answer()[0] == 200
        assert client.read_all() == b""


def test_expect_continue(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    head, _, body = raw_chat(extra=b"expect: 100-continue\r\n").partition(b"\r\n\r\n")
    with gateway.connect() as client:
        client.send(head + b"\r\n\r\n")
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert not engine.asked
        client.send(body)
        assert client.read_answer()[0] == 200


def test_expect_continue_of_too_much_is_refused_at_once(gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nexpect: 100-continue\r\n"
                    b"content-length: 100001\r\n\r\n")  # fmt: skip
        assert client.read_answer()[0] == 413


def test_a_chunked_request_in_single_bytes(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    body = json.dumps(chat_body("chunked")).encode()
    wire = b"".join(chunk(body[at : at + 7]) for at in range(0, len(body), 7))
    request = raw_chat(body=b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    with gateway.connect() as client:
        for byte in request + wire + LAST:
            client.send(bytes([byte]))
        assert client.read_answer()[0] == 200
    assert engine.asked[0].body == body


def test_a_trailer_is_no_header(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    body = json.dumps(chat_body()).encode()
    with gateway.connect() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
        client.send(chunk(body) + b"0\r\nauthorization: Bearer %b\r\n\r\n" % BOB.encode())
        assert client.read_answer()[0] == 401
    assert not engine.asked


@pytest.mark.parametrize("endless", [b"x: y\r\n" * 160, b"x-" + b"y" * 1000])
def test_an_endless_trailer_is_refused(gateway: GatewayProcess, endless: bytes) -> None:
    with gateway.connect() as client:
        client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
        )
        for _ in range(1000):  # what is read together with the head is not counted
            client.send(endless)
        assert client.read_answer()[0] == 431


def test_pipelining_gets_the_first_answer_and_is_closed(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([Act.WAIT, *plain({"first": 1})])
    with gateway.connect() as client:
        client.send(raw_chat() + raw_chat() + GET_HEALTH)
        wait_until(lambda: engine.asked)
        client.send(raw_chat())
        engine.release()
        status, headers, body = client.read_answer()
        assert (status, headers["connection"]) == (200, "close")
        assert json.loads(body) == {"first": 1}
        assert client.read_all() == b""
    assert len(engine.asked) == 1


def test_a_pipelining_client_that_leaves_frees_its_engine(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([Act.WAIT])
    with gateway.connect() as client:
        client.send(raw_chat() + raw_chat())
        wait_until(lambda: engine.running)
    wait_until(lambda: engine.aborted == 1)


def test_garbage_behind_a_request_does_not_cost_its_answer(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([Act.WAIT, *plain({"first": 1})])
    with gateway.connect() as client:
        client.send(raw_chat())
        wait_until(lambda: engine.asked)
        client.send(b"\x00garbage\r\n\r\n" + b"x" * 10_000)
        gateway.get("/health")  # the gateway's loop has come round since
        engine.release()
        assert client.read_answer()[2] == b'{"first": 1}'
        assert client.read_all() == b""


LENGTH = b"content-length: 5\r\n"
SMUGGLED = {
    "length and chunked": LENGTH + b"transfer-encoding: chunked\r\n",
    "chunked and length": b"transfer-encoding: chunked\r\n" + LENGTH,
    "two lengths": LENGTH + b"content-length: 6\r\n",
    "same length twice": LENGTH * 2,
    "length of several": b"content-length: 5, 6\r\n",
    "signed length": b"content-length: +5\r\n",
    "hex length": b"content-length: 0x5\r\n",
    "negative length": b"content-length: -5\r\n",
    "chunked is not last": b"transfer-encoding: chunked, identity\r\n",
    "unknown coding": b"transfer-encoding: xchunked\r\n",
    "space before colon": b"transfer-encoding : chunked\r\n",
    "folded header": b"x: y\r\n transfer-encoding: chunked\r\n",
    "bare CR": b"x: y\rz: 1\r\n",
    "NUL": b"x: y\x00\r\n",
    "no colon": b"nonsense\r\n",
}


@pytest.mark.parametrize("headers", SMUGGLED.values(), ids=SMUGGLED.keys())
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/invoke"])
def test_smuggling_is_refused(
    gateway: GatewayProcess, engine: ScriptedEngine, headers: bytes, path: bytes
) -> None:
    smuggled = GET_HEALTH
    with gateway.connect() as client:
        client.send(b"POST %b HTTP/1.1\r\nhost: x\r\n%b\r\nhello%b" % (path, headers, smuggled))
        answers = client.read_all()
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert error_of(answers.partition(b"\r\n\r\n")[2])["code"] == "invalid_http"
    assert not engine.asked


@pytest.mark.parametrize(
    "wire",
    [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"-1\r\n", b"5;\n\r\nhello\r\n"],
)
def test_a_broken_chunk_is_refused(
    gateway: GatewayProcess, engine: ScriptedEngine, wire: bytes
) -> None:
    with gateway.connect() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
                    b"transfer-encoding: chunked\r\n\r\n" + wire)  # fmt: skip
        answer = client.read_all()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not engine.asked


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"NONSENSE /health HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(gateway: GatewayProcess, data: bytes) -> None:
    with gateway.connect() as client:
        client.send(data)
        answer = client.read_all()
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
@pytest.mark.parametrize("path", [b"/health", b"/v1/models"])
def test_an_upgrade_is_not_made(gateway: GatewayProcess, upgrade: bytes, path: bytes) -> None:
    with gateway.connect() as client:
        client.send(b"GET %b HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: %b\r\n\r\n"
                    % (path, upgrade))  # fmt: skip
        answer = client.read_all()
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 401 "))
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/nothing"])
@pytest.mark.parametrize("split", [False, True])
def test_an_upgrade_with_a_body_is_refused(
    gateway: GatewayProcess, engine: ScriptedEngine, path: bytes, split: bool
) -> None:
    request = raw_chat(extra=b"connection: upgrade\r\nupgrade: h2c\r\n")
    request = request.replace(b"/v1/chat/completions", path)
    head = request.index(b"\r\n\r\n") + 4
    with gateway.connect() as client:
        for piece in (request[:head], request[head:]) if split else (request,):
            client.send(piece)
        answer = client.read_all()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert error_of(answer.partition(b"\r\n\r\n")[2])["code"] == "upgrade_not_supported"
    assert not engine.asked


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/invoke", b"/v1/nothing"])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_is_too_large(
    gateway: GatewayProcess, engine: ScriptedEngine, path: bytes, chunked: bool
) -> None:
    """The client can read why, even while it is still sending."""
    body, size = b"x" * 3_000_000, 3_000_000
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % size
    with gateway.connect() as client:
        client.send(b"POST %b HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % (path, framing))
        client.send(chunk(body) + LAST if chunked else body)
        answer = client.read_all()
    assert answer.count(b"HTTP/1.1 ") == 1
    status = answer.split(b" ", 2)[1]
    sooner = {b"/v1/nothing": b"404", b"/invoke": b"401"}  # without waiting for the body
    assert status in (b"413", sooner.get(path))
    if status == b"413":
        assert error_of(answer.partition(b"\r\n\r\n")[2])["code"] == "body_too_large"
    assert not engine.asked


def test_a_large_body_over_httpx(gateway: GatewayProcess) -> None:
    assert gateway.chat("x" * 4_000_000).status_code == 413


def test_a_body_of_just_the_limit_passes(gateway: GatewayProcess) -> None:
    spare = 100_000 - len(json.dumps(chat_body("")).encode())
    body = json.dumps(chat_body("x" * spare)).encode()
    assert len(body) == 100_000
    assert gateway.post("/v1/chat/completions", body, BOB).status_code == 200
    assert gateway.post("/v1/chat/completions", body + b" ", BOB).status_code == 413


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/health"])
@pytest.mark.parametrize(
    "rest", [b"x: " + b"y" * 9000 + b"\r\n\r\n", b"x: y\r\n" * 2000 + b"\r\n", b"x" * 9000]
)
def test_a_head_that_is_too_large(gateway: GatewayProcess, path: bytes, rest: bytes) -> None:
    with gateway.connect() as client:
        client.send(b"POST %b HTTP/1.1\r\nhost: x\r\n%b" % (path, rest))
        status, _, body = client.read_answer()
    assert status == 431
    assert error_of(body)["code"] == "header_too_large"


def test_a_long_url_is_too_large(gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        client.send(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.read_answer()[0] == 431


@pytest.mark.parametrize(
    "part",
    [
        b"POST /v1/chat/completions HTT",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 10\r\n\r\n{",
        b"POST /invoke HTTP/1.1\r\nx-api-key: ps-bob-secret\r\ncontent-length: 10\r\n\r\n{",
    ],
)
def test_a_request_that_arrives_too_slowly(hasty: GatewayProcess, part: bytes) -> None:
    with hasty.connect() as client:
        client.send(part[:-3])
        for byte in part[-3:]:  # a byte now and then does not help
            if select.select([client.socket], [], [], 0.3)[0]:
                break  # it has been told already
            client.send(bytes([byte]))
        status, _, body = client.read_answer()
        assert status == 408
        assert error_of(body)["code"] == "request_timeout"
        assert client.read_all() == b""


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method(gateway: GatewayProcess, method: str) -> None:
    answer = httpx.request(method, f"{gateway.url}/v1/chat/completions", timeout=60)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    assert error_of(answer.content)


def test_an_address_that_does_not_exist(gateway: GatewayProcess) -> None:
    answer = gateway.get("/v1/nothing")
    assert answer.status_code == 404
    assert error_of(answer.content)["code"] == "not_found"


SPELLINGS = (
    "//v1/chat/completions",
    "/v1/chat/completions/",
    "/V1/chat/completions",
    "/v1/../v1/chat/completions",
    "/v1/chat%2fcompletions",
)


@pytest.mark.parametrize("path", SPELLINGS)
def test_other_spellings_of_a_hot_path_open_nothing(
    gateway: GatewayProcess, engine: ScriptedEngine, path: str
) -> None:
    with gateway.connect() as client:
        client.send(raw_chat().replace(b"/v1/chat/completions", path.encode(), 1))
        assert client.read_answer()[0] in (400, 404, 405)
    assert not engine.asked


def test_a_query_does_not_matter(gateway: GatewayProcess) -> None:
    assert gateway.post("/v1/chat/completions?api-version=1", chat_body(), BOB).status_code == 200


def test_nothing_of_the_client_gets_into_a_head(gateway: GatewayProcess) -> None:
    evil = "x\r\nset-cookie: a=b"
    answer = gateway.chat(model=evil)
    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers
    answer = gateway.get("/v1/models/x%0d%0aset-cookie:%20a=b")
    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers


def test_a_slow_client_slows_the_engine_down(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    events = [delta("x" * 60_000)] * 600
    engine.play(streamed([*events, *chat_events([])]))
    with gateway.connect() as client:
        client.send(raw_chat(stream=True))
        client.read_head()
        before = -1
        while before != engine.sent_bytes:
            before = engine.sent_bytes
            time.sleep(0.1)
        assert engine.sent_bytes < 30_000_000
        body = client.read_until(b"\r\n0\r\n\r\n")
    assert body.count(b"data: ") == 600 + 3
    assert b"[DONE]" in body


def test_a_client_that_never_reads_cannot_pile_up_answers(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(plain({"text": "x" * 20_000_000}))
    with gateway.connect() as client:
        for count in range(1, 6):
            client.send(raw_chat())
            time.sleep(0.15)
            assert len(engine.asked) <= min(count, 2)


@pytest.mark.parametrize("path", ["/v1/models", "/invoke"])
def test_a_large_body_with_a_key(gateway: GatewayProcess, path: str) -> None:
    status = gateway.post(path, b"x" * 200_000).status_code
    assert status == 413 or (status == 405 and path == "/v1/models")  # whichever comes first


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{", 408),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * 20_000, 431),
    ],
)
def test_what_cannot_be_read_is_counted(
    gateway: GatewayProcess, hasty: GatewayProcess, sent: bytes, status: int
) -> None:
    asked = hasty if status == 408 else gateway
    before = asked.metric("penstock_refusals_total", status=str(status))
    with asked.connect() as client:
        client.send(sent)
        if status == 413:
            client.send(b"x" * 110_000)
        assert client.read_head()[0] == status
    assert asked.metric("penstock_refusals_total", status=str(status)) == before + 1
