import pytest

from penstock.manifest.fields import Path, all_fields, dotted, find, flow
from penstock.manifest.model import Manifest


@pytest.mark.parametrize("field", all_fields(), ids=lambda field: field.dotted)
def test_every_field_is_explained_and_exemplified(field: object) -> None:
    assert field in all_fields()
    found = next(each for each in all_fields() if each == field)
    assert found.meaning.endswith(".")
    assert found.takes
    assert found.example is not None


def test_every_example_is_valid() -> None:
    for field in all_fields():
        value = {field.path[-1]: field.example}
        for part in reversed(field.path[:-1]):
            value = {"org-a" if part == "<name>" else part: value}
        assert Manifest.model_validate(value)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("model", "id"), "model.id"),
        (("model", "nothing"), "model"),
        (("tenants", "org-a", "models", 0), "tenants.<name>.models"),
        (("tenants", "org-a"), "tenants"),
        (("adapters", "x"), "adapters"),
    ],
)
def test_a_path_belongs_to_its_nearest_field(path: Path, found: str) -> None:
    field = find(path)
    assert field
    assert field.dotted == found


def test_unknown_paths_belong_to_none() -> None:
    assert find(("nothing",)) is None


def test_paths_and_values_are_written_on_one_line() -> None:
    assert dotted(("tenants", "a", "models", 0)) == "tenants.a.models[0]"
    assert flow({"a": [1, "x"]}) == "{a: [1, x]}"
    assert flow(True) == "true"
