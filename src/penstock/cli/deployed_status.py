"""How a deployment in AWS is: what runs, what rings, what it costs now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.catalog.catalogue import load as load_catalogue
from penstock.cli.changes import money
from penstock.cli.output import ExitCode, note, print_json, print_text
from penstock.cli.planning import hub_cache, refreshed_prices, refreshed_spot
from penstock.manifest.model import Manifest
from penstock.plan.stack_price import price_of_all
from penstock.targets.sagemaker.growth import with_machines
from penstock.wiring.deploying import open_deployer

if TYPE_CHECKING:
    from penstock.targets.sagemaker.deployer import Deployer
    from penstock.targets.sagemaker.standing import Standing


def show_deployed(manifest: Manifest, *, as_json: bool) -> int:
    """Show it; the exit code is 1 where it does not serve, or something is not as it should be."""
    with open_deployer(manifest, hub_cache()) as deployer:
        standing = deployer.now()
        usd_per_hour = _usd_per_hour(deployer, standing)
        outputs = dict(deployer.outputs(deployer.names.main))
        if as_json:
            print_json(
                {
                    "deployment": manifest.name,
                    "region": deployer.account.region,
                    "serves": standing.serves,
                    **_told(standing),
                    "usd_per_hour": round(usd_per_hour, 4),
                    "outputs": outputs,
                }
            )
        elif standing.stacks:
            _show(standing, usd_per_hour)
        else:
            note(f"Nothing is deployed as {manifest.name}. Deploy it with `penstock deploy`.")
    return ExitCode.OK if standing.is_well else ExitCode.FAILED


def _usd_per_hour(deployer: Deployer, standing: Standing) -> float:
    """What runs now costs, with as many machines as there are."""
    variants = standing.endpoint.variants if standing.endpoint else ()
    counts = {each.name: each.machines for each in variants}
    stacks = [(with_machines(body, counts), given) for body, given in deployer.standing()]
    catalogue = load_catalogue(refreshed_prices(), refreshed_spot())
    return price_of_all(stacks, deployer.account.region, catalogue).usd_per_hour


def _told(standing: Standing) -> dict[str, Any]:
    endpoint = standing.endpoint
    return {
        "stacks": [
            {"stack": e.name, "status": e.status, "reason": e.reason} for e in standing.stacks
        ],
        "endpoint": endpoint
        and {
            "name": endpoint.name,
            "status": endpoint.status,
            "failure": endpoint.failure,
            "machines": [
                {"type": e.machine, "running": e.machines, "wanted": e.wanted_machines}
                for e in endpoint.variants
            ],
            "components": [
                {
                    "name": e.name,
                    "status": e.status,
                    "failure": e.failure,
                    "copies": e.copies,
                    "wanted_copies": e.wanted_copies,
                    "base": e.base,
                }
                for e in endpoint.components
            ],
        },
        "alarms": [{"name": e.name, "state": e.state, "about": e.about} for e in standing.alarms],
    }


def _show(standing: Standing, usd_per_hour: float) -> None:
    for seen in standing.stacks:
        print_text(f"{seen.name}: {seen.status}{f': {seen.reason}' if seen.reason else ''}")
    endpoint = standing.endpoint
    if endpoint is None:
        print_text("there is no endpoint")
    else:
        why = f": {endpoint.failure}" if endpoint.failure else ""
        print_text(f"endpoint {endpoint.name} is {endpoint.status}{why}")
        for variant in endpoint.variants:
            machines = f"{variant.machines} of {variant.wanted_machines} {variant.machine}"
            print_text(f"  machines: {machines}" if variant.machine else "  serverless")
        for each in endpoint.components:
            copies = "on it as an adapter" if each.base else f"copies: {each.copies}"
            if not each.base and each.copies != each.wanted_copies:
                copies += f" of {each.wanted_copies}"
            why = f": {each.failure}" if each.failure else ""
            print_text(f"  {each.name} is {each.status}, {copies}{why}")
    ringing = [each for each in standing.alarms if each.state == "ALARM"]
    print_text(f"alarms: {len(ringing)} of {len(standing.alarms)} on")
    for alarm in ringing:
        print_text(f"  {alarm.name}: {alarm.about}")
    print_text(f"cost now: {money(usd_per_hour)}")
