"""The record of a run: what it says of one that did not come to a good end."""

from pathlib import Path

from penstock.plan.steps import Kind, Piece, Step, Verb
from penstock.targets.journal import FileJournal

APPLY = Step(Verb.APPLY, Piece("main", Kind.STACK, "stack main"))


def journal(folder: Path, place: str = "123/eu-west-1") -> FileJournal:
    return FileJournal(folder, "support-bot", place)


def test_a_run_that_is_gone_tells_the_step_it_was_in(tmp_path: Path) -> None:
    run = journal(tmp_path)
    assert run.unfinished() is None
    run.open("deploy")
    run.begin(APPLY)
    found = journal(tmp_path).unfinished()
    assert found
    assert (found.command, found.step, found.failure) == ("deploy", "apply stack main", "")
    assert journal(tmp_path, "456/eu-west-1").unfinished() is None


def test_a_failed_run_tells_why_and_a_good_one_nothing(tmp_path: Path) -> None:
    run = journal(tmp_path)
    run.open("deploy")
    run.begin(APPLY)
    run.fail("stack main is ROLLBACK_COMPLETE")
    found = journal(tmp_path).unfinished()
    assert found
    assert found.failure == "stack main is ROLLBACK_COMPLETE"
    run.end(APPLY)
    run.close()
    assert journal(tmp_path).unfinished() is None


def test_a_damaged_record_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "deploy-support-bot.json").write_text('{"place": "123/eu-w')
    assert journal(tmp_path).unfinished() is None
    (tmp_path / "deploy-support-bot.json").write_text("[]")
    assert journal(tmp_path).unfinished() is None
