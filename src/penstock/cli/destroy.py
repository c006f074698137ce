"""`penstock destroy`: remove everything that a deployment made, and nothing else."""

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.catalog.catalogue import load as load_catalogue
from penstock.cli.changes import money
from penstock.cli.consent import Yes, ask
from penstock.cli.deploying import Lines, ManifestFile, journal_of
from penstock.cli.output import AsJson, ExitCode, note, print_json
from penstock.cli.planning import hub_cache, refreshed_prices, refreshed_spot
from penstock.ground.errors import UserError
from penstock.manifest.loader import load as load_manifest
from penstock.plan.carrying_out import carry_out, settle
from penstock.plan.stack_price import price_of_all
from penstock.plan.steps import to_destroy
from penstock.wiring.deploying import open_deployer

if TYPE_CHECKING:
    from penstock.targets.sagemaker.deployer import Deployer

KeepLogs = Annotated[bool, typer.Option("--keep-logs", help="Leave the containers' logs.")]
KeepData = Annotated[
    bool | None,
    typer.Option(
        "--keep-data/--remove-data",
        help="Whether a last snapshot of the database (tenants, keys, usage) is kept.",
    ),
]


def command(
    manifest_file: ManifestFile = None,
    *,
    yes: Yes = False,
    keep_logs: KeepLogs = False,
    keep_data: KeepData = None,
    as_json: AsJson = False,
) -> int:
    """Remove everything that `penstock deploy` made, after asking.

    Run it again after it was cut off: it goes on where it stopped. With --json, stdout carries
    {"deployment", "region", "removed"}.
    """
    manifest = load_manifest(manifest_file)
    tell = Lines()
    with open_deployer(manifest, hub_cache()) as deployer:
        with journal_of(deployer, manifest_file, "destroy") as journal:
            keeps = _keeps_data(deployer, keep_data, yes=yes)
            target = deployer.removal(keep_logs=keep_logs, keep_data=keeps)
            steps = settle(target, to_destroy, journal, tell)
            _announce(deployer)
            for step in steps:
                note(f"will {step}")
            if not steps:
                note(f"Nothing is deployed as {manifest.name}.")
            if steps and not ask("Remove all that?", yes=yes):
                note("Nothing was removed.")
                return ExitCode.FAILED
            carry_out(target, steps, journal, tell)
        journal.forget()
        if as_json:
            removed = [step.piece.about for step in steps]
            region = deployer.account.region
            print_json({"deployment": manifest.name, "region": region, "removed": removed})
    return ExitCode.OK


def _keeps_data(deployer: "Deployer", wish: bool | None, *, yes: bool) -> bool:
    """Whether the database is saved first.

    Raises:
        UserError: there is one, and nobody has said what is to become of it.
    """
    database = deployer.database()
    if wish is not None or not database:
        return bool(wish)
    if yes:
        raise UserError(
            f"the database {database} holds tenants, keys and usage",
            why="nobody has said what is to become of them",
            fix="Add --keep-data for a last snapshot, or --remove-data",
        )
    return ask(f"Keep a last snapshot of the database {database}?", yes=False)


def _announce(deployer: "Deployer") -> None:
    """Say what of it costs money."""
    catalogue = load_catalogue(refreshed_prices(), refreshed_spot())
    price = price_of_all(deployer.standing(), deployer.account.region, catalogue)
    for item in price.items:
        if item.usd_per_hour >= 0.001:
            note(f"  {item.quantity:g} x {item.name}: {item.usd_per_hour:.3f} USD/h")
    if price.items:
        note(f"It costs {money(price.usd_per_hour)}, until it is removed.")
