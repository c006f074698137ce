import json
from pathlib import Path

from tests.cli.conftest import Run


def test_a_valid_file_is_summed_up(run: Run) -> None:
    Path("penstock.yaml").write_text("name: support-bot\ntenants: {org-a: }\n")
    ran = run("validate")
    assert ran.code == 0
    assert ran.out == (
        "penstock.yaml is valid: support-bot serves penstock-tiny by the embedded engine, "
        "1 tenant.\n"
    )
    assert ran.err == "Next: penstock up\n"


def test_every_problem_is_shown(run: Run) -> None:
    Path("other.yaml").write_text("nme: x\nmodel: 3\n")
    ran = run("validate", "other.yaml")
    assert ran.code == 2
    assert ran.out == ""
    assert "error: other.yaml:1:1: unknown key 'nme'" in ran.err
    assert "\nother.yaml:2:8: model takes a mapping" in ran.err
    assert "Traceback" not in ran.err


def test_problems_are_data_when_asked(run: Run) -> None:
    Path("penstock.yaml").write_text("nme: x\n")
    ran = run("validate", "--json")
    assert ran.code == 2
    assert json.loads(ran.out) == {
        "file": "penstock.yaml",
        "valid": False,
        "problems": [
            {
                "line": 1,
                "column": 1,
                "what": "unknown key 'nme' in the file",
                "fix": "Did you mean 'name'?",
                "example": "name: support-bot",
            }
        ],
    }
    assert json.loads(ran.err)["error"]["type"] == "ManifestError"


def test_a_missing_file_is_a_mistake_here(run: Run) -> None:
    ran = run("validate")
    assert ran.code == 2
    assert "penstock.yaml does not exist" in ran.err


def test_a_valid_file_as_json(run: Run) -> None:
    Path("penstock.yaml").write_text("")
    assert json.loads(run("validate", "--json").out)["valid"] is True
