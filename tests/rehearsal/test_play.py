"""`penstock rehearse`, from beginning to end."""

import json

import pytest

from penstock.cli.app import main
from penstock.cli.output import ExitCode


def test_the_play_is_played_by_the_real_commands(capsys: pytest.CaptureFixture[str]) -> None:
    faults = ("--fault", "crash", "--fault", "throttling")
    code = main(["rehearse", "--json", *faults])
    written = capsys.readouterr()
    assert code == ExitCode.OK, written.err
    lines = [json.loads(line) for line in written.out.splitlines()]
    told = "\n".join(f"{each['act']}: {each['text']}" for each in lines)
    for words in (
        "deploy: penstock-rehearsed-customer answers in",
        "status: cost now:",
        "roll: AdapterCustomerb6c458: UPDATE_COMPLETE",
        "scale: 6 clients at a time: two copies",
        "break: crash: `penstock deploy` of",
        "break: crash: penstock-broken-crash answers in",
        "break: throttling: penstock-broken-throttling answers in",
        "destroy: nothing is left, and what is not ours is as it was",
    ):
        assert words in told
