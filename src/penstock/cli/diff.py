"""`penstock diff`: what a deployment would change, and nothing is changed."""

from penstock.cli.changes import show
from penstock.cli.deploying import ManifestFile, warn
from penstock.cli.difference import difference_of
from penstock.cli.output import AsJson, note, print_json
from penstock.cli.planning import hub_cache
from penstock.manifest.loader import load as load_manifest
from penstock.plan.carrying_out import remaining
from penstock.plan.steps import is_settling, to_deploy
from penstock.wiring.deploying import open_deployer


def command(manifest_file: ManifestFile = None, *, as_json: AsJson = False) -> None:
    """Show what `penstock deploy` would change, what that means, and what it costs.

    With --json, stdout carries {"deployment", "region", "stacks", "steps", "means",
    "usd_per_hour", "usd_per_month", "price_unknown"}.
    """
    manifest = load_manifest(manifest_file)
    with open_deployer(manifest, hub_cache()) as deployer:
        steps = remaining(deployer.deployment(), to_deploy)
        found = difference_of(deployer, steps)
        if as_json:
            region = deployer.account.region
            print_json({"deployment": manifest.name, "region": region, **found.told()})
            return
        show(found)
        warn(deployer.emitted().cautions)
        idle = found.is_empty and not is_settling(steps)
        note("Nothing is to be deployed." if idle else "`penstock deploy` does it.")
