from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from penstock.manifest.schema import json_schema

EXAMPLES = sorted(Path("examples").glob("*/penstock.yaml"))


@pytest.fixture(scope="module")
def validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json_schema())


def test_the_schema_is_a_schema() -> None:
    jsonschema_rs.meta.validate(json_schema())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_the_examples_fit(validator: jsonschema_rs.Draft202012Validator, file: Path) -> None:
    assert validator.is_valid(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize("data", [{}, {"model": None}, {"gateway": {"port": None}}])
def test_blanks_fit(validator: jsonschema_rs.Draft202012Validator, data: object) -> None:
    assert validator.is_valid(data)


@pytest.mark.parametrize(
    "data",
    [
        {"modle": {}},
        {"model": {"idd": "x"}},
        {"gateway": {"port": 70000}},
        {"engine": {"kind": "vlm"}},
        {"engine": {"api_key": "sk-literal"}},
        {"name": "Not Good"},
    ],
)
def test_mistakes_do_not_fit(validator: jsonschema_rs.Draft202012Validator, data: object) -> None:
    assert not validator.is_valid(data)


def test_every_property_is_described() -> None:
    schema = json_schema()
    for section in (schema, *schema["$defs"].values()):
        for name, field in section["properties"].items():
            assert field["description"], name
