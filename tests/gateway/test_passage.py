"""Whatever cuts an engine's stream has, client, meter and end are the same."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fakes.gateway_answers import (
    DONE,
    USAGE,
    chat_events,
    chunk,
    delta,
    event,
    usage_event,
)

from penstock.engines.conduit.framing import ChunkReader, framed, unframe
from penstock.gateway.passage import Passage, Usage
from penstock.ground.errors import EngineDied

tricky = st.sampled_from(
    ['"usage"', '{"usage": {"prompt_tokens": 9}}', "[DONE]", "data: [DONE]\n\n", "\n\n",
     "\r\n\r\n", '\\"usage\\"', "é😀\u2028", ""]
)  # fmt: skip
words = st.lists(st.one_of(tricky, st.text(max_size=8)), max_size=6)
comments = st.sampled_from([b": ping\n\n", b"event: note\ndata: x\n\n", b"id: 1\n\n"])


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """The events of an answer; sometimes with usage on every one, comments, or CRLF."""
    continuous = draw(st.booleans())
    more = {"usage": {"prompt_tokens": 7, "completion_tokens": 1}} if continuous else {}
    null_usage = {"usage": None} if not continuous and draw(st.booleans()) else {}
    events = []
    for word in draw(words):
        fields = json.loads(delta(word)[6:]) | more | null_usage
        text = json.dumps(fields, ensure_ascii=draw(st.booleans()))
        events.append(event(text.encode("utf-8", "surrogatepass")))
        if draw(st.booleans()):
            events.append(draw(comments))
    if draw(st.booleans()):
        events.append(usage_event())
    events.append(DONE)
    if draw(st.booleans()):
        events = [each.replace(b"\n", b"\r\n") for each in events]
    return events


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [piece for piece in (*pieces, data[at:]) if piece]


def is_usage_only(data: bytes) -> bool:
    if not data.startswith(b"data: {"):
        return False
    fields = json.loads(data[6:])
    return fields.get("usage") is not None and fields.get("choices") == []


def send(events: Sequence[bytes], sizes: Sequence[int], passage: Passage) -> bytes:
    """Send the events as one chunk each, cut by the kernel; return what the client gets."""
    reader, got = ChunkReader(framed_runs=True), b""
    for piece in cut(b"".join(chunk(each) for each in events), sizes):
        for is_framed, data in reader.feed(piece):
            if is_framed:
                got += unframe(passage.through(data))
            else:
                passed = passage.filter(data)
                assert not passed or passed.endswith((b"\n\n", b"\n\r\n"))
                got += passed
    return got


cuts = st.lists(st.integers(1, 300), max_size=12)


@settings(deadline=None)
@given(events=streams(), sizes=cuts, hide=st.booleans())
def test_any_cut_gives_the_same(events: list[bytes], sizes: list[int], hide: bool) -> None:
    wanted = b"".join(each for each in events if not (hide and is_usage_only(each)))
    whole, pieces, framed_way = (Passage(hide_usage=hide) for _ in range(3))
    assert whole.filter(b"".join(events)) == wanted
    assert b"".join(pieces.filter(piece) for piece in cut(b"".join(events), sizes)) == wanted
    assert send(events, sizes, framed_way) == wanted
    for passage in (whole, pieces, framed_way):
        assert passage.done
        assert passage.usage == whole.usage
        assert passage.events == whole.events


@settings(deadline=None)
@given(events=streams(), sizes=cuts, missing=st.integers(1, 200))
def test_a_stream_cut_short_is_never_done_and_never_passes_half_an_event(
    events: list[bytes], sizes: list[int], missing: int
) -> None:
    data = b"".join(events)[:-missing]
    passage = Passage(hide_usage=False)
    got = b"".join(passage.filter(piece) for piece in cut(data, sizes))
    assert not passage.done
    assert data.startswith(got)
    assert not got or got.endswith((b"\n\n", b"\r\n\r\n"))


@settings(deadline=None)
@given(events=streams(), per_chunk=st.lists(st.integers(1, 4), max_size=6), hide=st.booleans())
@example(events=[event(b"a"), event(b"b"), usage_event(), DONE], per_chunk=[4], hide=True)
@example(events=[event(b"a"), b"\n\r\n", usage_event(), DONE], per_chunk=[1, 2], hide=False)
@example(events=[event(b"a"), b"b\n\n\r\n", usage_event(), DONE], per_chunk=[2, 1], hide=False)
@example(events=[event(b"a"), b"b\n\n\r\n", usage_event(), DONE], per_chunk=[1, 2], hide=False)
def test_through_does_what_filter_does(
    events: list[bytes], per_chunk: list[int], hide: bool
) -> None:
    """A run of whole events may have several in a chunk, and lines of any ending in them."""
    chunks, at = [], 0
    for count in (*per_chunk, *[1] * len(events)):
        chunks.append(b"".join(events[at : at + count]))
        at += count
    run = b"".join(chunk(piece) for piece in chunks if piece)
    one, other = Passage(hide_usage=hide), Passage(hide_usage=hide)
    assert unframe(one.through(run)) == other.filter(unframe(run))
    assert (one.usage, one.done) == (other.usage, other.done)
    if b"\r" not in unframe(run):
        assert one.events == other.events


def test_usage_is_read_and_hidden_only_where_nobody_asked() -> None:
    for hide in (True, False):
        passage = Passage(hide_usage=hide)
        got = passage.filter(b"".join(chat_events(["a", "b"])))
        assert passage.usage == Usage(7, 3)
        assert (b'"usage"' in got) is not hide
        assert got.endswith(DONE)


def test_events_are_counted_without_usage_and_done() -> None:
    passage = Passage(hide_usage=True)
    run = b"".join(chunk(each) for each in chat_events(["a", "b"]))
    passage.through(run)
    assert passage.events == 4  # role, two words, end


def test_continuous_usage_stays_and_the_last_counts() -> None:
    passage = Passage(hide_usage=True)
    told = [
        delta("a")[:-3] + b', "usage": {"prompt_tokens": 7, "completion_tokens": %d}}\n\n' % count
        for count in (1, 2)
    ]
    got = passage.filter(b"".join([*told, usage_event(), DONE]))
    assert got == b"".join([*told, DONE])
    assert passage.usage == Usage(7, 3)
    short = Passage(hide_usage=True)
    short.filter(b"".join(told))
    assert short.usage == Usage(7, 2)


@pytest.mark.parametrize("text", ['{"usage": {"prompt_tokens": 9}}', '"usage"', "[DONE]"])
def test_content_that_looks_like_the_end_is_content(text: str) -> None:
    passage = Passage(hide_usage=True)
    told = delta(text)
    assert passage.filter(told) == told
    assert passage.usage is None
    assert not passage.done
    run = Passage(hide_usage=True)
    assert run.through(chunk(told)) == framed(told)
    assert (run.usage, run.done, run.events) == (None, False, 1)


@pytest.mark.parametrize(
    "data",
    [b'{"usage": 3}', b'{"usage": {"prompt_tokens": "x"}}', b'{"usage"', b'"usage"',
     b'{"usage": null, "choices": []}'],
)  # fmt: skip
def test_usage_that_makes_no_sense_passes_as_it_is(data: bytes) -> None:
    passage = Passage(hide_usage=True)
    assert passage.filter(event(data)) == event(data)
    assert passage.usage is None


def test_details_of_usage() -> None:
    passage = Passage(hide_usage=True)
    details = {"prompt_tokens_details": {"cached_tokens": 5}}
    passage.filter(usage_event(USAGE | details))
    assert passage.usage is not None
    assert passage.usage.cached_tokens == 5
    passage.filter(usage_event(USAGE | {"prompt_tokens_details": None}))
    assert passage.usage.cached_tokens == 0


def test_data_of_several_lines_may_hold_usage() -> None:
    passage = Passage(hide_usage=True)
    assert (
        passage.filter(b'data: {"choices": [],\ndata: "usage": {"prompt_tokens": 2}}\n\n') == b""
    )
    assert passage.usage == Usage(2, 0)


def test_an_event_without_end_is_refused() -> None:
    passage = Passage(hide_usage=True)
    piece = b"data: " + b"x" * 2**20
    for _ in range(7):
        assert passage.filter(piece) == b""
    with pytest.raises(EngineDied, match="8 MiB"):
        passage.filter(piece + piece)
