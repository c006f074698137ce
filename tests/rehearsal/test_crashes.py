"""Deployers that are killed, at every call that changes something and at every step.

Each is a process of its own that dies by SIGKILL. Whatever it leaves, the next run goes on from
there, and in the end nothing is left, and nothing of others was touched.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.fakes.deadly_proxy import DeadlyProxy
from tests.rehearsal.account import Account
from tests.rehearsal.conftest import LONG_S
from tests.rehearsal.deployments import Deployments, signed_in
from tests.rehearsal.foreign import plant, snapshot

from penstock.cli.output import ExitCode
from penstock.targets.journal import FileJournal

MOST_CALLS = 40
"""More than a deployment makes."""


def begin(aws: Account, file: Path, command: str, url: str) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "penstock.cli.app", command, str(file), "--yes"],
        env={**os.environ, **signed_in(aws), "AWS_ENDPOINT_URL": url, "COLUMNS": "200"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for its end; returns its code and what it wrote to stderr."""
    _, err = process.communicate(timeout=240)
    return process.returncode, err


def read_until(words: str, process: subprocess.Popen[str]) -> str:
    """Wait until a command tells of `words`, a pattern; returns all that it told until then."""
    assert process.stderr
    told = ""
    for line in process.stderr:
        told += line
        if re.search(words, line):
            return told
    raise AssertionError(f"it never came to {words}: {told}")


@pytest.fixture(scope="module")
def proxy(aws: Account) -> Iterator[DeadlyProxy]:
    with DeadlyProxy(aws.url) as proxy:
        yield proxy


@pytest.mark.timeout(900)
def test_it_may_die_at_every_call(
    aws: Account, deployments: Deployments, proxy: DeadlyProxy
) -> None:
    """The k-th run dies at its k-th call; the next one starts from what that has left."""
    name = "dying"
    plant(aws, name)
    before = snapshot(aws)
    deployments.write(name)
    for command in ("deploy", "destroy"):
        died = survive(aws, deployments.file, command, proxy)
        assert died >= 3, f"{command} was to die more often than {died} times"
        if command == "deploy":
            assert not deployments.deploy()["changed"]
    assert snapshot(aws) == before


def survive(aws: Account, file: Path, command: str, proxy: DeadlyProxy) -> int:
    """Run a command until it lives; returns how often it has died."""
    died = 0
    for call in range(1, MOST_CALLS):
        for heard in (False, True):
            start = partial(begin, aws, file, command, proxy.url)
            process = proxy.begin(start, call, heard=heard)
            code, err = end(process)
            if code == 0:
                assert len(proxy.calls) < call
                return died
            assert code == -signal.SIGKILL, err
            died += 1
    raise AssertionError(f"{command} does not come to an end: {proxy.calls}")


STEPS = {
    "deploy": (
        r"apply stack penstock-\S+-base",
        r"apply upload of",
        r"apply stack penstock-\S+[^e]\n",
        r"Model: CREATE_COMPLETE",
        r"check endpoint and components",
        r"check the first answer",
        r"check answers as clients",
    ),
    "destroy": (
        r"remove stack penstock-\S+[^e]\n",
        r"EndpointConfig: DELETE_COMPLETE",
        r"remove everything in the bucket",
        r"remove stack penstock-\S+-base\n",
        r"remove the containers' logs",
    ),
}


def test_ctrl_c_says_how_to_go_on(aws: Account, deployments: Deployments) -> None:
    """It cannot have ended before: its endpoint comes when the clock is moved on."""
    deployments.write("stopped")
    slow = {"kind": "slow_download", "name": "penstock-stopped", "seconds": LONG_S}
    aws.order("faults", slow)
    process = begin(aws, deployments.file, "deploy", aws.url)
    read_until("Model: CREATE_COMPLETE", process)
    process.send_signal(signal.SIGINT)
    code, err = end(process)
    aws.order("faults", method="DELETE")  # else what has not begun yet would take as long
    aws.order("clock", {"advance_s": LONG_S})
    assert code == ExitCode.INTERRUPTED
    assert "`penstock deploy` takes it up, `penstock destroy` removes it" in err
    deployments.destroy()


def dies_at(line: str, process: subprocess.Popen[str], journal: FileJournal) -> bool:
    """Kill a command when it tells of this step; whether it died of that, before it was done."""
    read_until(line, process)
    process.kill()
    return end(process)[0] == -signal.SIGKILL and journal.unfinished() is not None


@pytest.mark.parametrize(
    ("command", "line"), [(command, line) for command, lines in STEPS.items() for line in lines]
)
def test_it_may_die_in_every_step(
    aws: Account, deployments: Deployments, command: str, line: str
) -> None:
    name = "mortal"
    before = snapshot(aws)
    deployments.write(name)
    if command == "destroy":
        deployments.deploy()
    journal = FileJournal(
        deployments.file.parent / ".penstock", name, f"{aws.said['account']}/{aws.region}"
    )
    while not dies_at(line, begin(aws, deployments.file, command, aws.url), journal):
        if command == "deploy":  # it was quicker: from the beginning
            deployments.destroy()
        else:
            deployments.deploy()
    if command == "deploy":
        _, err = deployments.run("deploy", "--yes")
        assert re.search("was cut off in: |was cut off[.]", err)
        assert "answers in" in err
    _, err = deployments.run("destroy", "--yes")
    assert snapshot(aws) == before
    _, err = deployments.run("destroy", "--yes")
    assert "Nothing is deployed" in err
