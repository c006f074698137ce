"""A request whose head is that of the one before is read as if it had come alone."""

import asyncio
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.written_transport import WrittenTransport
from uvicorn.config import Config
from uvicorn.server import ServerState

from penstock.gateway.answer import JSON, Client, Doors
from penstock.gateway.doorway import Doorway
from penstock.gateway.front import HOT_PATHS
from penstock.gateway.settings import Settings

Seen = tuple[bytes, bytes | None, bytes, bytes | None, bool, frozenset[tuple[bytes, bytes]]]


class Answering:
    """Answers every request when it is told to, and keeps what was asked."""

    def __init__(self, client: Client, seen: Seen) -> None:
        self._client, self.seen = client, seen

    def answer(self) -> None:
        self._client.write(self._client.head(200, JSON, 2) + b"{}")
        self._client.finish()

    def cancel(self) -> None:
        pass

    expire = pause = resume = cancel


class Visit:
    """One client's connection, from the first byte on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.refused: list[int] = []
        self._open: list[Answering] = []
        doors = Doors(HOT_PATHS, self._begin, self.refused.append)
        config = Config(app=_no_app, http="httptools", ws="none", log_config=None)
        self.transport = WrittenTransport()
        self.door = Doorway(config, ServerState(), {}, loop, doors=doors, settings=SETTINGS)
        self.door.connection_made(self.transport)

    def _begin(self, client: Client, path: bytes, key: bytes | None, body: bytes) -> Answering:
        headers = frozenset(each for each in client.headers if each[0] != b"content-length")
        seen = (path, key, body, client.claimed_tenant, client.takes_chunks, headers)
        self._open.append(Answering(client, seen))
        return self._open[-1]

    def send(self, *pieces: bytes, answered: bool = True) -> "Got":
        """Send a request in pieces, and answer it."""
        self.transport.written, self.refused[:] = b"", []
        for piece in pieces:
            self.door.data_received(piece)
        asked = [answering.seen for answering in self._open]
        while answered and self._open:
            self._open.pop(0).answer()
        written = re.sub(rb"req-[0-9a-f]+-[0-9a-f]+", b"ID", self.transport.written)
        return Got(asked, list(self.refused), written, self.transport.closing)


class Got(NamedTuple):
    """What came of one request."""

    asked: list[Seen]
    refused: list[int]
    written: bytes
    closing: bool


async def _no_app(scope: object, receive: object, send: object) -> None:
    raise AssertionError("only hot requests are sent")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


SETTINGS = Settings((), (), (), (), max_header_bytes=400, max_body_bytes=200)
POST = b"POST /v1/chat/completions HTTP/1.1\r\n"
LENGTHS = ("content-length: %d", "Content-Length:%d", "content-length:   %d",
           "content-length: 0%d", "content-length: %d ", "content-length : %d",
           "content-length: +%d", "x-length: %d",
           "content-length: %d\r\ncontent-length: %d", "transfer-encoding: chunked\r\nx: %d",
           "content-length: %d\r\ntransfer-encoding: chunked", "x: y\r\n content-length: %d",
           "content-length: 1%d", "x: %d\ncontent-length: 3")  # fmt: skip
OTHERS = ("host: x", "authorization: Bearer a", "Authorization: Bearer b", "x-api-key: c",
          "x-tenant-id: d", "connection: close", "Connection: keep-alive", "connection: upgrade",
          "upgrade: h2c", "expect: 100-continue", "x: content-length: 7", "x: " + "y" * 150,
          "x: y\r\n z")  # fmt: skip
usual = st.tuples(
    st.just(""),
    st.just(POST.decode()),
    st.lists(st.sampled_from(OTHERS[:5]), max_size=2),
    st.just(LENGTHS[0]),
    st.lists(st.sampled_from(OTHERS[:5]), max_size=1),
)
lines = st.tuples(
    st.sampled_from(("", "\r\n", "\n")),
    st.sampled_from((POST.decode(), POST.decode().replace("1.1", "1.0"))),
    st.lists(st.sampled_from(OTHERS), max_size=3),
    st.sampled_from(LENGTHS),
    st.lists(st.sampled_from(OTHERS), max_size=2),
)
WHOLE = POST + b"content-length: 3\r\n\r\nabc"
GREETED = WHOLE.replace(b"\r\n", b"\r\nauthorization: Bearer a\r\n", 1)
bodies = st.one_of(
    st.binary(max_size=30),
    st.sampled_from((b"a" * 199, b"a" * 200, b"a" * 201, b"\r\n\r\n", WHOLE, b"x\r\n\r\nabc")),
)


Parts = tuple[str, str, list[str], str, list[str]]


def request_of(parts: Parts, body: bytes) -> bytes:
    """The bytes of a request; its length is told as `parts` say."""
    before, first, headers, length, more = parts
    told = length.replace("%d", str(len(body)))
    head = "".join(f"{line}\r\n" for line in (*headers, told, *more))
    return f"{before}{first}{head}\r\n".encode() + body


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """`data` in pieces."""
    edges = [0, *sorted(min(each, len(data)) for each in at), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


@settings(max_examples=300)
@given(
    heads=st.tuples(usual, st.one_of(usual, lines)),
    asked=st.lists(
        st.tuples(
            st.sampled_from((0, 0, 1)),
            bodies,
            st.one_of(st.just([]), st.lists(st.integers(0, 300), max_size=2)),
            st.sampled_from((b"", b"", b"", b"x", WHOLE)),
        ),
        min_size=2,
        max_size=6,
    ),
)
def test_a_kept_connection_reads_what_a_new_one_reads(
    loop: asyncio.AbstractEventLoop,
    heads: tuple[Parts, Parts],
    asked: list[tuple[int, bytes, list[int], bytes]],
) -> None:
    kept = Visit(loop)
    for which, body, at, behind in asked:
        pieces = cut(request_of(heads[which], body) + behind, at)
        got = kept.send(*pieces)
        assert got == Visit(loop).send(*pieces)
        if got.closing or len(got.asked) != 1:  # closed, or in the midst of a request
            return


LIKE_IT = [b"+3", b"-3", b" 3", b"3 ", b"0x3", b"3_", b"3, 3", b"3\r\ncontent-length: 3", b"03",
           b"1" * 12, b"1" * 13, b"3\nx: y", b"3\x003", b"", b"3\r\ntransfer-encoding: chunked",
           b"201"]  # fmt: skip


@pytest.mark.parametrize("length", LIKE_IT)
def test_a_head_that_is_only_like_the_last_is_read(
    loop: asyncio.AbstractEventLoop, length: bytes
) -> None:
    kept = Visit(loop)
    kept.send(WHOLE)
    second = WHOLE[:-8] + length + b"\r\n\r\n" + b"a" * (201 if length == b"201" else 3)
    assert kept.send(second) == Visit(loop).send(second)


def test_who_expects_to_be_told_to_continue_is_told_each_time(
    loop: asyncio.AbstractEventLoop,
) -> None:
    asked = WHOLE.replace(b"\r\n", b"\r\nexpect: 100-continue\r\n", 1)
    kept = Visit(loop)
    for _ in range(2):
        assert b"100 Continue" in kept.send(asked).written


def test_half_a_head_is_no_head(loop: asyncio.AbstractEventLoop) -> None:
    kept, half = Visit(loop), POST + b"content-length: "
    kept.send(WHOLE)
    assert kept.send(half + b"%d\r" % len(half)).asked == []


def test_the_same_head_within_another_request_is_no_head(loop: asyncio.AbstractEventLoop) -> None:
    kept, begun = Visit(loop), POST + b"content-length: 90\r\nx: "
    kept.send(WHOLE)
    assert kept.send(begun).asked == []
    got = kept.send(WHOLE)
    assert got == Visit(loop).send(begun, WHOLE)
    assert got.asked == []


def test_the_same_head_behind_half_a_request_is_no_head(loop: asyncio.AbstractEventLoop) -> None:
    """Half a head comes before the answer; what then looks like a request is half a head too."""
    kept = Visit(loop)
    kept.send(WHOLE)
    assert len(kept.send(WHOLE, POST + b"x: ").asked) == 1
    (asked,) = kept.send(WHOLE).asked
    assert (b"x", POST.strip()) in asked[-1]


def test_the_same_head_before_the_answer_is_pipelining(loop: asyncio.AbstractEventLoop) -> None:
    kept = Visit(loop)
    kept.send(WHOLE)
    got = kept.send(WHOLE, WHOLE)
    assert len(got.asked) == 1
    assert got == Visit(loop).send(WHOLE, WHOLE)
    assert got.closing


def test_only_the_last_head_stands(loop: asyncio.AbstractEventLoop) -> None:
    kept, asked = Visit(loop), POST + b"x-api-key: %b\r\ncontent-length: 3\r\n\r\nabc"
    kept.send(asked % b"a")
    assert kept.send((asked % b"b")[:-1], b"c").asked[0][1] == b"b"  # in pieces: not remembered
    assert kept.send(asked % b"a").asked[0][1] == b"a"


@pytest.mark.parametrize("second", [WHOLE, WHOLE.replace(b": 3", b": 4") + b"d"])
def test_the_parser_is_spared_the_same_head(
    loop: asyncio.AbstractEventLoop, second: bytes
) -> None:
    kept = Visit(loop)
    kept.send(WHOLE)
    parser = kept.door.parser
    kept.door.parser = None  # type: ignore[assignment] # whoever asks it now, fails
    assert kept.send(second).asked[0][2] == second.partition(b"\r\n\r\n")[2]
    kept.door.parser = parser
    assert kept.send(GREETED).asked[0][1] == b"a"


UPGRADES = [b"connection: upgrade\r\nupgrade: h2c\r\n",
            b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n",
            b"upgrade: h2c\r\n", b"connection: upgrade\r\n"]  # fmt: skip


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("behind", [b"", WHOLE])
def test_an_upgrade_is_answered_alike_wherever_it_is_cut(
    loop: asyncio.AbstractEventLoop, upgrade: bytes, behind: bytes
) -> None:
    """llhttp reads no further than the head of one: its body must not be taken for a request."""
    data = WHOLE.replace(b"\r\n", b"\r\n" + upgrade, 1).replace(b": 3", b": %d" % len(WHOLE))
    data = data[:-3] + WHOLE + behind
    whole = Visit(loop).send(data)
    meant = upgrade in UPGRADES[:2]
    assert [each[2] for each in whole.asked] == ([] if meant else [WHOLE])
    assert whole.refused == ([400] if meant else [])
    assert whole.closing == (meant or bool(behind))
    for at in range(1, len(data)):
        assert Visit(loop).send(data[:at], data[at:]) == whole
