"""A stand-in of AWS for all tests of this room, in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.rehearsal.account import Account
from tests.rehearsal.deployments import Deployments, signed_in

SCALE = 240
"""AWS's seconds in one of the test's."""
LONG_S = 600 * SCALE
"""Ten minutes of the test's, which it need not wait for: it moves the clock on."""


@contextmanager
def standing_in(folder: Path, *options: str) -> Iterator[Account]:
    """Run a stand-in with further options."""
    with (folder / "stderr.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock.rehearsal", "--state", str(folder),
             "--with-parent", "--scale", str(SCALE), *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    assert process.stdin
    assert process.stdout
    line = process.stdout.readline()
    assert line, (folder / "stderr.log").read_text()
    account = Account(json.loads(line))
    yield account
    account.close()
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with standing_in(tmp_path_factory.mktemp("rehearsal")) as account:
        yield account


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """A stand-in that enforces what IAM says."""
    with standing_in(tmp_path_factory.mktemp("strict"), "--enforce-iam") as account:
        yield account


@pytest.fixture
def deployments(
    aws: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Deployments:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in signed_in(aws).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PENSTOCK_CONFIG", str(tmp_path / "config"))
    return Deployments(aws, tmp_path, capsys)
