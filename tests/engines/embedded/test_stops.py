"""Stop strings end an answer at the same place however its text is cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.engines.embedded.stops import StopScanner


def scan(
    pieces: list[str], stops: tuple[str, ...], *, include: bool = False
) -> tuple[str, str | None]:
    scanner, shown = StopScanner(stops, include=include), ""
    for piece in pieces:
        text, hit = scanner.push(piece)
        shown += text
        if hit is not None:
            return shown, hit
    return shown + scanner.flush(), None


def test_a_stop_string_may_span_pieces_and_is_cut_out() -> None:
    assert scan(["one E", "N", "D two"], ("END",)) == ("one ", "END")
    assert scan(["one E", "N", "D two"], ("END",), include=True) == ("one END", "END")
    assert scan(["one E", "N"], ("END",)) == ("one EN", None)


def test_text_is_shown_as_soon_as_it_cannot_be_a_stop() -> None:
    scanner = StopScanner(("\n\n",))
    assert scanner.push("a\n") == ("a", None)
    assert scanner.push("b") == ("\nb", None)


TEXT = st.text("ab\n", max_size=12)


@settings(deadline=None)
@given(
    pieces=st.lists(TEXT, max_size=8),
    stops=st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3),
    include=st.booleans(),
)
def test_any_cut_gives_the_same_text(pieces: list[str], stops: list[str], include: bool) -> None:
    whole = "".join(pieces)
    shown, hit = scan(pieces, tuple(stops), include=include)
    assert (shown, hit) == scan([whole], tuple(stops), include=include)
    assert (shown, hit) == scan(list(whole), tuple(stops), include=include)
    if hit is None:
        assert shown == whole
        assert not any(stop in whole for stop in stops)
    else:
        assert whole.startswith(shown if include else shown + hit)
        assert not any(stop in shown.removesuffix(hit if include else "") for stop in stops)
