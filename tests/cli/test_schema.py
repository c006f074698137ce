import json

from tests.cli.conftest import Run

from penstock.manifest import markdown
from penstock.manifest.schema import json_schema


def test_it_prints_the_schema(run: Run) -> None:
    assert json.loads(run("schema").out) == json_schema()
    compact = run("schema", "--json").out
    assert json.loads(compact) == json_schema()
    assert compact.count("\n") == 1


def test_it_prints_the_documentation(run: Run) -> None:
    assert run("schema", "--markdown").out == markdown.render()
    assert json.loads(run("schema", "--markdown", "--json").out)["markdown"] == markdown.render()
