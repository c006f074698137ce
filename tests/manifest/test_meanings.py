"""Docstrings of fields, read from the source when they are asked for."""

import pytest

from penstock.manifest.meanings import meanings
from penstock.manifest.model import Load, Manifest
from penstock.manifest.schema import json_schema


def test_a_field_means_what_stands_below_it() -> None:
    assert meanings(Load)["prompt_tokens"] == "Tokens of a typical prompt."


@pytest.mark.parametrize("section", [Manifest, Load])
def test_every_field_has_one(section: type[Manifest] | type[Load]) -> None:
    assert set(meanings(section)) == set(section.model_fields)


def test_the_schema_carries_them() -> None:
    schema = json_schema()
    assert schema["properties"]["load"]["description"] == "The load to plan for."
    assert schema["$defs"]["Load"]["properties"]["prompt_tokens"]["description"]
