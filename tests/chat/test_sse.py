"""Splitting server-sent events, however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chat import sse
from penstock.chat.sse import Splitter, frame
from penstock.ground.errors import EngineDied

DATA = st.lists(
    st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1), max_size=6
)


def split(pieces: list[bytes]) -> list[bytes]:
    splitter = Splitter()
    return [data for piece in pieces for data in splitter.feed(piece)] + splitter.finish()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(DATA, st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 500), max_size=12))
def test_any_cut_gives_the_same_events(texts: list[str], end: str, places: list[int]) -> None:
    stream = "".join(
        f": ping{end}event: message{end}id: 1{end}data: {text}{end}{end}" for text in texts
    )
    assert split(cut(stream.encode(), places)) == [text.encode() for text in texts]


@given(st.lists(st.integers(0, 60), max_size=20))
def test_a_cut_inside_a_character_or_a_line_end_changes_nothing(places: list[int]) -> None:
    stream = "data: Ω≈ç\r\ndata:二\r\n\r\n: x\r\n\r\ndata\r\n\r\ndata: 😀\r\n\r\n".encode()
    assert split(cut(stream, places)) == ["Ω≈ç\n二".encode(), b"", "😀".encode()]


def test_one_byte_at_a_time() -> None:
    stream = b"\xef\xbb\xbfdata: a\r\rdata: b\n\n"
    assert split([bytes([byte]) for byte in stream]) == [b"a", b"b"]


def test_the_last_blank_line_may_be_missing() -> None:
    assert split([b"data: a\n\ndata: [DO", b"NE]"]) == [b"a", b"[DONE]"]


def test_other_fields_are_not_data() -> None:
    assert split([b"retry: 3\ndatabase: x\nevent: data\n\n"]) == []


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_MAX_EVENT_BYTES", 100)
    splitter = Splitter()
    splitter.feed(b"data: " + b"x" * 60 + b"\n")
    with pytest.raises(EngineDied, match="more than"):
        splitter.feed(b"data: " + b"x" * 60)


@given(st.text(st.characters(exclude_characters="\r", codec="utf-8")))
def test_what_is_framed_reads_back(text: str) -> None:
    assert split([frame(text.encode())]) == [text.encode()]
