"""Which steps remain, by how each piece was found."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.plan.steps import (
    Found,
    Kind,
    Piece,
    Step,
    Verb,
    is_settling,
    to_deploy,
    to_destroy,
)

LOGS, BASE, FILE, MAIN, DATA, ASK = (
    Piece("logs", Kind.RESIDUE, "the logs"),
    Piece("base", Kind.STACK, "stack base"),
    Piece("file", Kind.FILE, "a file"),
    Piece("main", Kind.STACK, "stack main"),
    Piece("data", Kind.DATA, "a snapshot"),
    Piece("ask", Kind.CHECK, "an answer"),
)
PIECES = (LOGS, BASE, FILE, MAIN, DATA, ASK)
NOTHING = dict.fromkeys((each.name for each in PIECES), Found.ABSENT)
ALL = dict.fromkeys((each.name for each in PIECES), Found.PRESENT)


def told(steps: tuple[Step, ...]) -> list[str]:
    return [str(step) for step in steps]


def test_what_others_need_is_applied_first_and_removed_last() -> None:
    assert told(to_deploy(PIECES, NOTHING)) == [
        "apply stack base", "apply a file", "apply stack main", "check an answer",
    ]  # fmt: skip
    assert told(to_destroy(PIECES, ALL)) == [
        "save a snapshot", "remove stack main", "remove stack base", "remove the logs",
    ]  # fmt: skip


def test_what_is_there_is_not_put_again_but_stacks_are_compared() -> None:
    steps = to_deploy(PIECES, ALL)
    assert told(steps) == ["apply stack base", "apply stack main", "check an answer"]


def test_a_wreck_is_removed_before_it_is_made_anew() -> None:
    steps = to_deploy(PIECES, ALL | {"main": Found.WRECKED})
    assert told(steps)[1:3] == ["remove stack main", "apply stack main"]
    assert Step(Verb.REMOVE, MAIN) in to_destroy(PIECES, ALL | {"main": Found.WRECKED})


def test_what_is_under_way_is_waited_for_and_nothing_else() -> None:
    found = ALL | {"main": Found.BUSY, "base": Found.STUCK}
    assert told(to_deploy(PIECES, found)) == ["wait for stack main"]
    assert told(to_destroy(PIECES, found)) == ["wait for stack main"]


def test_what_got_stuck_is_mended_first_but_not_to_remove_it() -> None:
    found = ALL | {"main": Found.STUCK}
    assert told(to_deploy(PIECES, found)) == ["mend stack main"]
    assert "remove stack main" in told(to_destroy(PIECES, found))


@given(st.fixed_dictionaries({each.name: st.sampled_from(Found) for each in PIECES}))
def test_every_finding_leads_to_steps_that_end(found: dict[str, Found]) -> None:
    """Settling steps come alone; nothing absent is removed; everything is checked in the end."""
    steps = to_deploy(PIECES, found)
    if is_settling(steps):
        assert all(step.verb in (Verb.AWAIT, Verb.MEND) for step in steps)
    else:
        assert steps[-1] == Step(Verb.CHECK, ASK)
        assert Found.BUSY not in found.values()
    for step in to_destroy(PIECES, found):
        assert found[step.piece.name] is not Found.ABSENT
