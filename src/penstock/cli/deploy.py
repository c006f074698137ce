"""`penstock deploy`: from a manifest to an endpoint that answers."""

from typing import Annotated

import typer

from penstock.cli.changes import show
from penstock.cli.consent import Yes, ask
from penstock.cli.deploying import Lines, ManifestFile, journal_of, warn
from penstock.cli.difference import difference_of
from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.cli.planning import hub_cache
from penstock.manifest.loader import load as load_manifest
from penstock.plan.carrying_out import carry_out, settle
from penstock.plan.steps import to_deploy
from penstock.wiring.deploying import open_deployer, require_role

NoRollback = Annotated[
    bool,
    typer.Option("--no-rollback", help="Where it fails, leave what was made, to look at it."),
]
CodeBuild = Annotated[
    bool,
    typer.Option("--codebuild", help="Build images in AWS even where Docker runs here."),
]


def command(
    manifest_file: ManifestFile = None,
    *,
    yes: Yes = False,
    no_rollback: NoRollback = False,
    codebuild: CodeBuild = False,
    as_json: AsJson = False,
) -> int:
    """Deploy a manifest: show what would change, ask, do it, and ask the endpoint something.

    Run it again after it was cut off or has failed: it goes on where it stopped. With --json,
    stdout carries {"deployment", "region", "changed", "outputs"}.
    """
    manifest = load_manifest(manifest_file)
    tell = Lines()
    how = {"keep_wreck": no_rollback, "by_docker": not codebuild}
    with open_deployer(manifest, hub_cache(), **how) as deployer:
        with journal_of(deployer, manifest_file, "deploy") as journal:
            target = deployer.deployment()
            steps = settle(target, to_deploy, journal, tell)
            found = difference_of(deployer, steps)
            if not as_json:
                show(found)
            if not found.is_empty:
                warn(deployer.emitted().cautions)
            if not found.is_empty:
                require_role(deployer, tell)
            if not found.is_empty and not ask("Deploy this?", yes=yes):
                note("Nothing was changed.")
                return ExitCode.FAILED
            carry_out(target, steps, journal, tell)
        outputs = dict(deployer.outputs(deployer.names.main))
        if as_json:
            print_json(
                {
                    "deployment": manifest.name,
                    "region": deployer.account.region,
                    "changed": not found.is_empty,
                    "outputs": outputs,
                }
            )
        else:
            _show(outputs)
    return ExitCode.OK


def _show(outputs: dict[str, str]) -> None:
    """Addresses, then what to do next."""
    width = max(map(len, outputs), default=0)
    for name, value in sorted(outputs.items()):
        if name != "CurlExample":
            print_text(f"{name + ':':<{width + 1}} {value}")
    if example := outputs.get("CurlExample"):
        print_text(f"\nTry it:\n  {example}")
    note('Next: penstock invoke "Hello"; penstock status; penstock logs --follow')
    note("It costs money until `penstock destroy`.")
