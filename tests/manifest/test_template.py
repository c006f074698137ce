from pathlib import Path

from penstock.manifest import document, template
from penstock.manifest.fields import all_fields
from penstock.manifest.loader import load
from penstock.manifest.model import Manifest


def test_the_template_is_valid_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(template.render("penstock"))
    assert load(file) == Manifest()


def test_the_template_carries_the_name(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(template.render("support-bot"))
    assert load(file).name == "support-bot"


def test_every_setting_can_be_switched_on_where_it_stands() -> None:
    lines = template.render("support-bot").splitlines()
    switched_on = [
        line.replace("#", "", 1)
        if line.lstrip()[:1] == "#" and line.lstrip()[1:2] != " "
        else line
        for line in lines
    ]
    read = document.parse("\n".join(switched_on))
    assert read.problems == []
    assert Manifest.model_validate(read.data, strict=True)
    for field in all_fields():
        path = tuple("org-a" if part == "<name>" else part for part in field.path)
        assert path in read.values, field.dotted


def test_every_meaning_is_there() -> None:
    text = " ".join(template.render("x1").replace("#", " ").split())
    for field in all_fields():
        assert field.path == ("name",) or field.meaning in text


def test_lines_are_short() -> None:
    assert max(len(line) for line in template.render("support-bot").splitlines()) <= 99
