import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest
from tests.cli.conftest import Run
from typer.testing import CliRunner

from penstock.cli import app, output
from penstock.cli.app import COMMANDS, load
from penstock.ground.errors import MachineError

HEAVY = ("httpx", "pydantic", "yaml", "numpy", "starlette", "uvicorn", "tokenizers")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = load(name)
    assert command.name == name
    assert str(command.help).splitlines()[0] == COMMANDS[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_speaks_json_and_helps(name: str, run: Run) -> None:
    assert "--json" in {option for parameter in load(name).params for option in parameter.opts}
    ran = run(name, "--help")
    assert ran.code == 0
    assert f"penstock {name}" in ran.out
    assert ran.err == ""


def test_help_lists_every_command(run: Run) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        ran = run(*arguments)
        assert ran.code == 0
        assert all(name in ran.out for name in COMMANDS)


def test_typer_runs_the_app_too() -> None:
    result = CliRunner().invoke(app.app, ["schema", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == "penstock.yaml"


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version").out == f"penstock {version('penstock')}\n"


def test_help_loads_nothing_heavy() -> None:
    script = "import sys; from penstock.cli.app import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert "penstock.cli.app" in loaded
    assert not {name for name in loaded if name.split(".")[0] in HEAVY}
    assert not {name for name in loaded if name in {entry.module for entry in COMMANDS.values()}}


def test_help_is_quick() -> None:
    """Less than three starts of Python with Typer and Rich; alone it takes about 0.13 s.

    By the processor's time: how long a machine lets it wait is not its doing.
    """
    bare = [sys.executable, "-c", "import typer, rich.console, rich.markdown, rich.table"]
    ours = [sys.executable, "-m", "penstock.cli.app", "--help"]
    ratio = statistics.median(_seconds(ours) / _seconds(bare) for _ in range(3))
    assert ratio < 3


def _seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_an_unknown_command_names_the_nearest(run: Run) -> None:
    ran = run("validat")
    assert ran.code == 2
    assert ran.out == ""
    assert "No such command 'validat'. Did you mean 'validate'" in ran.err
    assert "Try `penstock --help`." in ran.err


def test_a_usage_error_is_json_when_asked(run: Run) -> None:
    ran = run("schema", "--jso", "--json")
    error = json.loads(ran.err)["error"]
    assert ran.code == error["exit_code"] == 2
    assert "No such option: --jso" in error["message"]


Fail = Callable[[BaseException], None]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Makes `penstock schema` raise an error."""

    def fail_with(error: BaseException) -> None:
        def raise_error() -> object:
            raise error

        monkeypatch.setattr("penstock.cli.schema.json_schema", raise_error)

    return fail_with


def test_our_errors_have_no_traceback(fail: Fail, run: Run) -> None:
    fail(MachineError("port 8080 is taken", fix="Use --port 0."))
    ran = run("schema")
    assert ran.code == 3
    assert ran.err == "error: port 8080 is taken. Use --port 0.\n"


def test_our_errors_are_json_when_asked(fail: Fail, run: Run) -> None:
    fail(MachineError("port 8080 is taken", fix="Use --port 0."))
    ran = run("schema", "--json")
    assert ran.code == 3
    assert json.loads(ran.err)["error"] == {
        "type": "MachineError",
        "message": "port 8080 is taken. Use --port 0.",
        "what": "port 8080 is taken",
        "why": "",
        "fix": "Use --port 0.",
        "where": "",
        "exit_code": 3,
    }


def test_a_defect_says_so_with_a_traceback(fail: Fail, run: Run) -> None:
    fail(RuntimeError("a defect"))
    ran = run("schema")
    assert ran.code == 70
    assert "Traceback" in ran.err
    assert "bug: RuntimeError: a defect" in ran.err
    error = json.loads(run("schema", "--json").err)["error"]
    assert error["exit_code"] == 70
    assert "Traceback" in error["traceback"]


def test_ctrl_c_ends_with_130(fail: Fail, run: Run) -> None:
    fail(KeyboardInterrupt())
    ran = run("schema")
    assert ran.code == 130
    assert "Traceback" not in ran.err


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "penstock.cli.app", "schema"],
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.stderr == b""
    assert done.returncode == output.ExitCode.FAILED
