"""Whatever cuts a chunked body has, its payload is the same."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.fakes.gateway_answers import chunk

from penstock.engines.conduit.framing import ChunkReader, framed, unframe
from penstock.ground.errors import EngineDied

LF, CRLF = b"\n\n", b"\r\n\r\n"
TRAILERS = [b"", b"x-end: 1\r\n", b"a: b\r\nc: d\r\n"]
EXTENSIONS = [b"", b";name=value", b" ;x", b';q="a;b"']

texts = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b"", b"\n", b"\r\n", b"\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"x" * 5000]
    ),
)
events = st.builds(lambda text, end: b"data: " + text + end, texts, st.sampled_from([LF, CRLF]))
payloads = st.lists(st.one_of(events, events, events, texts), max_size=8).map(
    lambda pieces: [piece for piece in pieces if piece]
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A chunked body as an engine may write it, and its payload."""
    pieces = draw(payloads)
    if draw(st.booleans()):  # chunks that know nothing of events
        pieces = cut(b"".join(pieces), draw(st.lists(st.integers(1, 40), max_size=6)))
    wire = b""
    for piece in pieces:
        size = draw(st.sampled_from([b"%x", b"%X", b"00%x"])) % len(piece)
        wire += size + draw(st.sampled_from(EXTENSIONS)) + b"\r\n" + piece + b"\r\n"
    wire += b"0\r\n" + draw(st.sampled_from(TRAILERS)) + b"\r\n"
    return wire, b"".join(pieces)


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Cut `data` into pieces of these sizes and a rest."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [piece for piece in (*pieces, data[at:]) if piece]


def read(pieces: Sequence[bytes], *, framed_runs: bool) -> tuple[bytes, ChunkReader]:
    """Read the pieces of a body; every framed run is checked on the way."""
    reader, payload = ChunkReader(framed_runs=framed_runs), b""
    for piece in pieces:
        assert not reader.done
        for is_framed, data in reader.feed(piece):
            if is_framed:
                assert framed_runs
                assert data.endswith(b"\n\n\r\n")
                assert unframe(data).endswith(b"\n\n")
            payload += unframe(data) if is_framed else data
    return payload, reader


@given(body=bodies(), sizes=st.lists(st.integers(1, 64), max_size=12), runs=st.booleans())
def test_any_chunking_and_any_cut_give_the_payload(
    body: tuple[bytes, bytes], sizes: list[int], runs: bool
) -> None:
    wire, payload = body
    got, reader = read(cut(wire, sizes), framed_runs=runs)
    assert got == payload
    assert reader.done


@given(body=bodies(), runs=st.booleans())
def test_byte_by_byte(body: tuple[bytes, bytes], runs: bool) -> None:
    wire, payload = body
    got, reader = read([wire[at : at + 1] for at in range(len(wire))], framed_runs=runs)
    assert got == payload
    assert reader.done


@given(body=bodies(), runs=st.booleans(), missing=st.integers(1, 20))
def test_a_body_without_its_end_is_never_done(
    body: tuple[bytes, bytes], runs: bool, missing: int
) -> None:
    wire, payload = body
    got, reader = read(cut(wire[:-missing], []), framed_runs=runs)
    assert payload.startswith(got)
    assert not reader.done


def test_events_in_whole_chunks_pass_in_their_framing() -> None:
    wire = chunk(b"data: a\n\n") + chunk(b"data: b\n\ndata: c\n\n")
    assert list(ChunkReader(framed_runs=True).feed(wire)) == [(True, wire)]


def test_a_run_ends_before_what_is_not_whole() -> None:
    whole, part = chunk(b"data: a\n\n"), chunk(b"data: b")
    assert list(ChunkReader(framed_runs=True).feed(whole + part)) == [
        (True, whole),
        (False, b"data: b"),
    ]


@pytest.mark.parametrize(
    "wire",
    [
        b"xyz\r\n",
        b"\r\n",
        b"-5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"1_0\r\n0123456789abcdef\r\n",
        b"5\r\nhelloXX",
        b"5\r\nhello0\r\n\r\n",
        b"9\r\ndata: a\n\n5\r\n",
        b"f" * 2000,
        b"5" + b";x" * 1000,
        b"0\r\n" + b"trailer: x\r\n" * 200,
    ],
)
@pytest.mark.parametrize("step", [1, 3, 10_000])
@pytest.mark.parametrize("runs", [True, False])
def test_malformed_framing_is_an_error(wire: bytes, step: int, runs: bool) -> None:
    pieces = [wire[at : at + step] for at in range(0, len(wire), step)]
    with pytest.raises(EngineDied, match="not valid HTTP"):
        read(pieces, framed_runs=runs)


def test_bytes_behind_the_end_are_seen() -> None:
    reader = ChunkReader(framed_runs=True)
    reader.feed(b"0\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert reader.done
    assert reader.surplus


@given(payload=st.binary(max_size=200))
@example(payload=b"")
def test_framed_and_unframe_are_inverse(payload: bytes) -> None:
    assert unframe(framed(payload)) == payload
