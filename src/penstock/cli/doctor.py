"""`penstock doctor`: what is wrong, or will be, how one knows, and what helps."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from penstock.cli.output import AsJson, ExitCode, note, print_json, print_text
from penstock.cli.planning import hub_cache
from penstock.manifest.loader import load as load_manifest
from penstock.targets.doctor.finding import Finding, Verdict
from penstock.wiring.doctor import diagnose

_STYLES = {
    Verdict.OK: ("ok", "green"),
    Verdict.WARNING: ("warning", "yellow"),
    Verdict.FAILED: ("FAILED", "bold red"),
    Verdict.UNKNOWN: ("unknown", "dim"),
}


def command(
    manifest_file: Annotated[
        Path | None,
        typer.Argument(metavar="[MANIFEST]", help="The manifest; ./penstock.yaml if left out."),
    ] = None,
    brief: Annotated[bool, typer.Option("--brief", help="Leave out what is well.")] = False,
    as_json: AsJson = False,
) -> int:
    """Say what is wrong with a deployment, or will be, how one knows, and what helps.

    What it needs is looked at, what stands, and what that wrote; on this machine or in AWS.
    Nothing is changed. The exit code is 1 when something has failed or will. With --json, stdout
    carries one finding a line: {"check", "verdict", "says", "evidence", "fix", "policy"?}.
    """
    counts = dict.fromkeys(Verdict, 0)
    folder = manifest_file.parent if manifest_file else Path.cwd()
    for finding in diagnose(load_manifest(manifest_file), folder, hub_cache()):
        counts[finding.verdict] += 1
        if as_json:
            print_json(finding.told())
        elif not (brief and finding.verdict is Verdict.OK):
            _show(finding)
    if not as_json:
        told = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
        note(f"{told or 'nothing was looked at'}. See docs/doctor.md.")
    return ExitCode.FAILED if counts[Verdict.FAILED] else ExitCode.OK


def _show(finding: Finding) -> None:
    word, style = _STYLES[finding.verdict]
    print_text(Text.assemble((f"{word:8}", style), f" {finding.check}: {finding.says}"))
    if finding.verdict is Verdict.OK:
        return
    print_text(f"         seen: {finding.evidence}")
    if finding.fix:
        print_text(f"         do:   {finding.fix}")
    if finding.policy:
        for line in json.dumps(finding.policy, indent=2).splitlines():
            print_text(f"         {line}")
