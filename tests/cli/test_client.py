import json
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.openai_server import KEY, MODEL, FakeGateway

from penstock.cli.address import Address
from penstock.cli.client import Client, Ended, Text, ToolUse, read_pieces
from penstock.ground.errors import (
    EngineDied,
    EngineRefused,
    EngineUnavailable,
    LimitExceeded,
    NotAllowed,
    PenstockError,
)

STREAM = (
    b': penstock.tool {"name":"calculate_math","status":"started"}\n\n'
    b'data: {"model":"m","choices":[{"delta":{"content":"Z\xc3\xbcrich\\u2028"}}]}\r\n\r\n'
    b"event: ping\ndata: {}\n\n"
    b'data:{"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n'
    b"data: [DONE]\n\nnot read"
)
PIECES = [
    ToolUse("calculate_math", "started"),
    Text("Zürich\u2028"),
    Ended("stop", "m", {"total_tokens": 3}),
]


@pytest.fixture
def client(gateway: FakeGateway) -> Iterator[Client]:
    with Client(Address(gateway.url, KEY)) as made:
        yield made


def ask(prompt: str) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}]}


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[a:b] for a, b in pairwise(edges)]
    assert list(read_pieces(iter(chunks))) == PIECES


@pytest.mark.parametrize(
    "stream",
    [b"", b"data: [DONE]\n\n", b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'],
)
def test_a_stream_that_ends_early_is_an_error(stream: bytes) -> None:
    with pytest.raises(EngineDied, match="broke off before its end"):
        list(read_pieces(iter([stream])))


@pytest.mark.parametrize("data", [b"[1]", b"{", b"\xff"])
def test_a_stream_of_something_else_is_an_error(data: bytes) -> None:
    with pytest.raises(EngineDied, match="no JSON object"):
        list(read_pieces(iter([b"data: " + data + b"\n\n"])))


def test_an_answer_comes_whole_or_in_pieces(client: Client) -> None:
    whole = client.answer(ask("hi"))["choices"][0]["message"]["content"]
    pieces = list(client.stream(ask("hi")))
    assert whole == "You said: hi."
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == whole
    assert isinstance(pieces[-1], Ended)
    assert pieces[-1].usage["total_tokens"] == 7


def test_models_are_listed(client: Client) -> None:
    assert client.models() == [MODEL, "org-a"]
    assert client.first_model() == MODEL


@pytest.mark.parametrize("way", ["answer", "stream"])
@pytest.mark.parametrize(
    ("prompt", "kind", "told"),
    [
        ("refuse", LimitExceeded, "too many requests. Try again in 7 s."),
        ("garbage", EngineRefused, "answered 502 Bad Gateway: <html>bad gateway</html>."),
    ],
)
def test_refusals_are_told(
    client: Client, way: str, prompt: str, kind: type[PenstockError], told: str
) -> None:
    with pytest.raises(kind) as caught:
        list(getattr(client, way)(ask(prompt)))
    assert str(caught.value).endswith(told)


def test_a_broken_stream_is_told(client: Client) -> None:
    with pytest.raises(EngineDied, match="the engine died"):
        list(client.stream(ask("fail")))


def test_a_wrong_key_says_what_to_do(gateway: FakeGateway) -> None:
    with (
        Client(Address(gateway.url, "wrong")) as client,
        pytest.raises(NotAllowed, match="--key, or PENSTOCK_API_KEY"),
    ):
        client.answer(ask("hi"))


def test_nobody_there_says_what_to_do(gateway: FakeGateway) -> None:
    gateway.server_close()
    gateway.shutdown()
    with (
        Client(Address(gateway.url, KEY)) as client,
        pytest.raises(EngineUnavailable, match=r"nothing answers at .* `penstock up`"),
    ):
        client.models()


def test_closing_a_stream_hangs_up(client: Client, gateway: FakeGateway) -> None:
    with closing(client.stream(ask("hang"))) as pieces:
        assert next(pieces) == Text("You ")
    assert gateway.closed_early.wait(60)


def test_a_proxy_is_not_asked_for_this_machine(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Client(Address(gateway.url, KEY)) as client:
        assert json.dumps(client.models())
