"""Where a deployment stands against its manifest: asked of AWS, priced by the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.catalog.catalogue import load as load_catalogue
from penstock.cli.changes import Difference
from penstock.cli.planning import refreshed_prices, refreshed_spot
from penstock.plan.stack_price import price_of_all
from penstock.plan.steps import Step
from penstock.targets.sagemaker.growth import most_machines

if TYPE_CHECKING:
    from penstock.targets.sagemaker.deployer import Deployer


def difference_of(deployer: Deployer, steps: Sequence[Step]) -> Difference:
    """What carrying out `steps` would change, with prices before and after."""
    catalogue = load_catalogue(refreshed_prices(), refreshed_spot())
    region, emitted = deployer.account.region, deployer.emitted()
    wanted = [(each.template, dict(each.parameters)) for each in (emitted.base, emitted.main)]
    after = price_of_all(wanted, region, catalogue)
    grown: list[tuple[dict[str, Any], dict[str, str]]] = [
        (most_machines(template), parameters) for template, parameters in wanted
    ]
    return Difference(
        stacks=deployer.preview(),
        steps=steps,
        before=price_of_all(deployer.standing(), region, catalogue),
        after=after,
        most_usd_per_hour=price_of_all(grown, region, catalogue).usd_per_hour,
    )
