"""`penstock destroy`: remove everything that a deployment made, and nothing else."""

from typing import Annotated

import typer

from penstock.cli.consent import Yes, ask
from penstock.cli.deploying import Lines, ManifestFile, journal_of
from penstock.cli.output import AsJson, ExitCode, note, print_json
from penstock.cli.planning import hub_cache
from penstock.manifest.loader import load as load_manifest
from penstock.plan.carrying_out import carry_out, settle
from penstock.plan.steps import to_destroy
from penstock.wiring.deploying import open_deployer

KeepLogs = Annotated[bool, typer.Option("--keep-logs", help="Leave the containers' logs.")]


def command(
    manifest_file: ManifestFile = None,
    *,
    yes: Yes = False,
    keep_logs: KeepLogs = False,
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
            target = deployer.removal(keep_logs=keep_logs)
            steps = settle(target, to_destroy, journal, tell)
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
