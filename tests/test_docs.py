"""What users can set or type is documented, and the documentation names nothing else."""

import re
from pathlib import Path

import pytest

from penstock.cli.app import COMMANDS, load
from penstock.cli.output import ExitCode
from penstock.gateway import faults
from penstock.ground import metrics
from penstock.manifest import markdown
from penstock.manifest.fields import all_fields

CLI = Path("docs/cli.md").read_text(encoding="utf-8")
MANIFEST = Path("docs/manifest.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in Path("src").rglob("*.py"))
PAGES = "\n".join(
    page.read_text(encoding="utf-8") for page in (Path("README.md"), *Path("docs").rglob("*.md"))
)


def test_the_manifest_page_is_up_to_date() -> None:
    """If not: `penstock schema --markdown > docs/manifest.md`."""
    assert markdown.render() == MANIFEST


@pytest.mark.parametrize("field", all_fields(), ids=lambda field: field.dotted)
def test_every_field_is_on_the_manifest_page(field: object) -> None:
    found = next(each for each in all_fields() if each == field)
    title = ".".join(found.path[:-1]) or "Top level"
    section = MANIFEST.split(f"\n## {title}\n")[1].split("\n## ")[0]
    assert f"| `{found.path[-1]}` |" in section


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    assert f"### `penstock {name}" in CLI
    for parameter in load(name).params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            assert not option.startswith("--") or f"`{option}`" in CLI, option


def test_every_documented_command_exists() -> None:
    named = re.findall(r"`penstock ([a-z]+)", PAGES)
    assert named
    assert set(named) <= set(COMMANDS)


def test_every_exit_code_is_documented() -> None:
    table = CLI.split("## Exit codes")[1].split("\n## ")[0]
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == [
        str(code.value) for code in ExitCode
    ]


def test_every_environment_variable_is_documented() -> None:
    named = set(re.findall(r"\bPENSTOCK_[A-Z][A-Z_]*[A-Z]\b", SOURCES))
    table = CLI.split("## Environment variables")[1]
    assert set(re.findall(r"^\| `(PENSTOCK_[A-Z_]+)`", table, re.MULTILINE)) == named


def test_every_metric_is_documented() -> None:
    page = Path("docs/metrics.md").read_text(encoding="utf-8")
    for metric in metrics.ALL:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
        assert f"| `{metric.name}` | {labels} | {metric.help} |" in page


def test_every_error_code_is_documented() -> None:
    page = Path("docs/gateway.md").read_text(encoding="utf-8").split("## Errors")[1]
    rooms = (Path("src/penstock/gateway"), Path("src/penstock/chat"))
    sources = "\n".join(path.read_text() for room in rooms for path in room.rglob("*.py"))
    named = set(re.findall(r'code="([a-z_]+)"', sources))
    named |= set(re.findall(r'_fault\([^()]*, "([a-z_]+)"', sources))
    named |= set(re.findall(r'_refuse\([^()]*, "([a-z_]+)"\)', sources))
    named |= {code for _, _, code in faults._KINDS}
    assert named - set(re.findall(r"`([a-z_]+)`", page)) == set()


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in (Path("README.md"), Path("ARCHITECTURE.md"), *Path("docs").rglob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page}: {link}"
