"""`penstock rehearse`: what it refuses; the play itself is tested in tests/rehearsal."""

import pytest

from penstock.cli.app import main
from penstock.cli.output import ExitCode


def test_an_unknown_fault_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearse", "--fault", "earthquake"]) == ExitCode.USAGE
    assert "there is no fault earthquake" in capsys.readouterr().err
