"""Plans made in this process, on a day that does not move."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from penstock.catalog.catalogue import load
from penstock.manifest.model import Manifest
from penstock.plan.question import Wishes, ask, find_shape
from penstock.plan.report import Circumstances, Report, make_report
from penstock.sizing.calibration import read_calibration
from penstock.sizing.choice import choose

DAY = date(2026, 11, 21)
DEFAULTS = {
    "name": "support-bot",
    "model": {"id": "meta-llama/Llama-3.1-8B-Instruct", "context": 8192},
    "target": {"kind": "ecs", "region": "us-east-1"},
}


def make_plan(
    manifest: Manifest, wishes: Wishes | None = None, *, has_hub_token: bool = False
) -> Report:
    """The plan of `manifest` as of `DAY`."""
    catalogue, calibration = load(), read_calibration()
    shape = find_shape(manifest, catalogue, Path("nowhere"))
    demand = ask(manifest, shape, wishes or Wishes())
    local = manifest.target.kind == "local"
    around = Circumstances(today=DAY, has_hub_token=has_hub_token, local=local)
    choice = choose(demand, catalogue, calibration)
    return make_report(manifest.name, demand, choice, (catalogue, calibration), around)


@pytest.fixture(scope="session")
def plan() -> Callable[..., Report]:
    """Makes the plan of a manifest, given by its sections; `wishes` and the token beside them."""

    def made(
        *, wishes: Wishes | None = None, has_hub_token: bool = False, **sections: object
    ) -> Report:
        manifest = Manifest.model_validate(DEFAULTS | sections)
        return make_plan(manifest, wishes, has_hub_token=has_hub_token)

    return made
