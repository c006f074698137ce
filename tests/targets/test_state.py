"""`run.json`: private, atomic, and believed only while its supervisor lives."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.ground.errors import MachineError
from penstock.targets.local.state import (
    RunState,
    ServiceState,
    birth,
    claim,
    find_directory,
    home,
    read_state,
    refuse_second,
    write_state,
)


@pytest.fixture
def state(tmp_path: Path) -> RunState:
    home(tmp_path).mkdir()
    service = ServiceState("engine", "ready", "http://127.0.0.1:2", 7, 1, "engine.log")
    return RunState(
        name="demo",
        pid=os.getpid(),
        born=birth(os.getpid()),
        phase="ready",
        url="http://127.0.0.1:1",
        api_key="sk-1",
        model="fake",
        engine_url="",
        started_s=1.5,
        services=(service,),
    )


def test_what_is_written_is_read(tmp_path: Path, state: RunState) -> None:
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert (home(tmp_path) / "run.json").stat().st_mode & 0o777 == 0o600


def test_a_reused_process_id_is_not_believed(tmp_path: Path, state: RunState) -> None:
    write_state(tmp_path, replace(state, born="1"))
    assert read_state(tmp_path) is None


def test_a_dead_supervisor_is_stale(tmp_path: Path, state: RunState) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        there = replace(state, pid=other.pid, born=birth(other.pid))
        write_state(tmp_path, there)
        assert read_state(tmp_path) == there
        other.kill()
    assert birth(other.pid) == ""
    assert read_state(tmp_path) is None
    refuse_second(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"services": [1]}'])
def test_a_damaged_file_is_no_stack(tmp_path: Path, content: str) -> None:
    home(tmp_path).mkdir()
    (home(tmp_path) / "run.json").write_text(content)
    assert read_state(tmp_path) is None


def test_a_claim_is_exclusive_and_ends(tmp_path: Path, state: RunState) -> None:
    with claim(tmp_path):
        with pytest.raises(MachineError, match="already starting here"), claim(tmp_path):
            pass
        write_state(tmp_path, state)
        with pytest.raises(MachineError, match=r"already runs here: http://127.0.0.1:1"):
            refuse_second(tmp_path)
    with claim(tmp_path):
        assert read_state(tmp_path) is None


def test_the_stack_of_a_folder_above_is_found(tmp_path: Path, state: RunState) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_directory(below) == below
    write_state(tmp_path, state)
    assert find_directory(below) == tmp_path
