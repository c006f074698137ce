"""Every check and every cause is on the page, and the page names nothing else."""

import re
from pathlib import Path

from penstock.manifest.fields import all_fields
from penstock.targets.aws.remedies import REMEDIES

PAGE = Path("docs/doctor.md").read_text(encoding="utf-8")
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (*Path("src/penstock/targets/doctor").glob("*.py"),
                 Path("src/penstock/wiring/doctor.py"))
)  # fmt: skip
FAMILIES = (
    "credentials|permissions|quotas|capacity|network|image|model|sizes|deployment|alarms|machine|"
    "endpoint"
)


def test_the_page_names_all_checks_and_no_others() -> None:
    made = set(re.findall(rf'"((?:{FAMILIES})\.[a-z-]+)"', SOURCES))
    told = set(re.findall(rf"`((?:{FAMILIES})\.[a-z-]+)`", PAGE))
    fields = {field.dotted for field in all_fields()}
    assert made - fields - told == set()
    assert told - fields - made == set()


def test_the_page_names_all_causes_and_no_others() -> None:
    told = set(re.findall(r"`cause\.([a-z0-9-]+)`", PAGE))
    assert told == {each.name for each in REMEDIES}
