"""`up`, `status`, `logs` and `down` as a user meets them; the engines are stand-ins."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from tests.fakes.marked import PROGRAM, Marked, wait_until

from penstock.targets.local.state import read_state


def test_detach_status_logs_down(marked: Marked) -> None:
    up = marked.cli("up", "--detach", "--json")
    assert up.returncode == 0, up.stderr
    (line,) = up.stdout.splitlines()
    told = json.loads(line)
    assert {"url", "api_key", "model"} <= set(told)
    assert psutil.Process(told["pid"]).terminal() is None
    assert os.getsid(told["pid"]) == told["pid"]

    status = json.loads(marked.cli("status", "--json").stdout)
    assert status["running"] is True
    assert status["url"] == told["url"]
    assert [one["phase"] for one in status["services"]] == ["ready", "ready"]
    text = marked.cli("status").stdout
    assert "demo is ready at" in text
    assert "restarts: 0" in text

    def last_line(of: str) -> str:
        return marked.cli("logs", of, "-n", "1").stdout

    wait_until(lambda: last_line("engine") == "completion /v1/completions\n")
    wait_until(lambda: last_line("gateway").startswith("good listens"))
    everything = marked.cli("logs").stdout
    assert "gateway: good listens" in everything
    assert "supervisor: " in everything
    first = json.loads(marked.cli("logs", "gateway", "--json").stdout.splitlines()[0])
    assert first["name"] == "gateway"
    assert "there are engine, gateway, supervisor" in marked.cli("logs", "nobody").stderr

    again = marked.cli("up")
    assert again.returncode == 3
    assert f"demo already runs here: {told['url']}" in again.stderr

    down = json.loads(marked.cli("down", "--json").stdout)
    assert down == {"stopped": True, "name": "demo", "url": told["url"]}
    assert marked.processes() == []
    assert marked.cli("status").returncode == 1
    assert json.loads(marked.cli("status", "--json").stdout) == {
        "running": False,
        "serves": False,
    }
    assert marked.cli("down").returncode == 0
    assert "completion" in marked.cli("logs", "engine").stdout


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (
            "dies",
            ["error: engine stopped before it was ready: exit code 3", "| ValueError", "model.id"],
        ),
        ("deaf", ["error: engine was not ready after"]),
    ],
)
def test_a_failed_detach_tells_the_error(marked: Marked, engine: str, words: list[str]) -> None:
    up = marked.cli("up", "--detach", engine=engine)
    assert up.returncode == 4
    for word in words:
        assert word in up.stderr, up.stderr
    assert up.stdout == ""
    assert marked.processes() == []
    as_json = marked.cli("up", "--detach", "--json", engine=engine)
    error = json.loads(as_json.stderr.splitlines()[-1])["error"]
    assert error["exit_code"] == 4
    assert as_json.stdout == ""


def test_after_a_crash_down_and_up_work(marked: Marked) -> None:
    up = marked.cli("up", "--detach", "--json")
    pid = json.loads(up.stdout)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(pid))
    assert "Nothing runs here" in marked.cli("down").stderr
    wait_until(lambda: marked.processes() == [])
    assert marked.cli("up", "--detach").returncode == 0
    assert marked.cli("down").returncode == 0


def test_in_the_foreground_until_ctrl_c(marked: Marked) -> None:
    marked.supervisor = subprocess.Popen(
        [sys.executable, str(PROGRAM), "cli", marked.mark, "good", "--", "up"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=marked.directory,
        start_new_session=True,
    )
    marked.until("print(answer")
    state = read_state(marked.directory)
    assert state is not None
    marked.supervisor.send_signal(signal.SIGINT)
    _, err = marked.supervisor.communicate(timeout=60)
    assert marked.supervisor.returncode == 0
    assert "engine: ready after" in err
    assert "Ctrl-C stops it" in err
    assert "stopped" in err
    assert marked.processes() == []


def test_the_example_is_sound_python_and_shell(marked: Marked) -> None:
    shown = marked.cli("up", "--detach").stdout
    marked.cli("down")
    curl = next(line for line in shown.splitlines() if line.startswith("curl "))
    body = curl.split("-d ")[1].strip("'")
    assert json.loads(body)["model"] == "fake"
    code = shown[shown.index("from openai") :]
    compile(code, "example", "exec")
    assert len(code.strip().splitlines()) == 5
