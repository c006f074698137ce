"""The head of an answer is read the same, whatever head came before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.engines.conduit.head import HeadReader
from penstock.engines.conduit.same_head import SameHead
from penstock.engines.conduit.sink import Head
from penstock.ground.errors import EngineDied

LINES = ("content-type: application/json", "Content-Type: text/event-stream", "server: x",
         "content-length: 5", "Content-Length: 12", "content-length:7", "content-length: 007",
         "content-length: 5 ", "content-length: 1234567890123", "content-length: +5",
         "content-length: 5, 5", "content-length: 99999999999999999999999",
         "transfer-encoding: chunked", "connection: close", "connection: keep-alive",
         "x: content-length: 3", "x: y\r\n content-length: 4", "no colon", "")  # fmt: skip
STATUS = ("HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.0 200 OK", "HTTP/1.1 204 No Content",
          "HTTP/1.1 503 Busy", "HTTP/1.1 100 Continue", "HTTP/1.1 2OO OK", "")  # fmt: skip
heads = st.builds(
    lambda status, lines: "\r\n".join([status, *lines, "", ""]).encode(),
    st.one_of(st.just(STATUS[0]), st.sampled_from(STATUS)),
    st.lists(st.sampled_from(LINES), max_size=3),
)
Read = tuple[Head, int | None, bool, bool, bytes] | None


def read(reader: HeadReader, data: bytes) -> Read | str:
    """What a reader makes of `data`."""
    try:
        rest = reader.feed(data)
    except EngineDied as error:
        return str(error)
    if rest is None:
        return None
    return reader.head, reader.length, reader.chunked, reader.keep_alive, rest


@given(
    known=st.lists(heads, min_size=1, max_size=2),
    answers=st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=6)), max_size=5),
)
def test_a_kept_reader_reads_what_a_new_one_reads(
    known: list[bytes], answers: list[tuple[int, bytes]]
) -> None:
    kept = HeadReader()
    for which, behind in answers:
        data = known[which % len(known)] + behind
        alone = read(HeadReader(), data)
        assert read(kept, data) == alone
        if not isinstance(alone, tuple):
            return


@pytest.mark.parametrize(
    "length",
    [b"7", b"00000007", b"x", b"", b"-1", b" 7", b"7 ", b"7\r\nx: y", b"7\r\n\r\n7", b"1" * 13],
)
def test_another_length_is_read_as_if_it_came_alone(length: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %b\r\nconnection: keep-alive\r\n\r\n"
    kept = HeadReader()
    assert isinstance(read(kept, head % b"3" + b"abc"), tuple)
    assert read(kept, head % length + b"abc") == read(HeadReader(), head % length + b"abc")


def test_a_head_that_comes_in_pieces_is_read() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n"
    for at in range(1, len(head)):
        kept = HeadReader()
        assert kept.feed(head) == b""
        assert kept.feed(head[:at]) is None
        assert kept.feed(head[at:] + b"x") == b"x"
        assert kept.length == 12


def test_only_the_digits_may_differ() -> None:
    same = SameHead(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx: y\r\n\r\n")
    assert same.length == 3
    other = b"HTTP/1.1 200 OK\r\nContent-Length: 4711\r\nx: y\r\n\r\n"
    assert same.end_in(other + b"body") == len(other)
    assert same.length == 4711
    for wrong in (other[1:], other[:-1], other.replace(b"y", b"z"), other.lower()):
        assert same.end_in(wrong) == 0
