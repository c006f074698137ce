import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from penstock.manifest.loader import load


def test_it_writes_a_valid_file_here(run: Run) -> None:
    ran = run("init")
    assert (ran.code, ran.out) == (0, "Wrote penstock.yaml.\n")
    assert "Next: penstock validate" in ran.err
    assert run("validate").code == 0


@pytest.mark.parametrize(
    ("folder", "name"),
    [("My Bot_2", "my-bot-2"), ("9lives", "penstock"), ("x" * 60, "x" * 40), ("q", "penstock")],
)
def test_the_stack_is_named_after_its_folder(run: Run, folder: str, name: str) -> None:
    assert run("init", folder).code == 0
    assert load(Path(folder) / "penstock.yaml").name == name


def test_it_overwrites_only_by_force(run: Run) -> None:
    Path("penstock.yaml").write_text("name: mine\n")
    ran = run("init")
    assert ran.code == 2
    assert ran.err == "error: penstock.yaml is there already. Add --force to overwrite it.\n"
    assert Path("penstock.yaml").read_text() == "name: mine\n"
    assert run("init", "--force").code == 0
    assert load().name != "mine"


def test_a_file_is_no_folder(run: Run) -> None:
    Path("taken").write_text("")
    ran = run("init", "taken", "--force")
    assert ran.code == 2
    assert "taken is no folder" in ran.err


def test_json(run: Run) -> None:
    ran = run("init", "--json")
    assert json.loads(ran.out) == {"file": "penstock.yaml"}
    assert ran.err == ""
