"""`penstock render`: templates and scripts that deploy without Penstock."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from penstock.catalog.catalogue import HOME_REGION
from penstock.cli.deploying import warn
from penstock.cli.output import AsJson, note, print_json, print_text
from penstock.cli.planning import hub_cache
from penstock.manifest.loader import load as load_manifest
from penstock.manifest.model import Manifest
from penstock.manifest.target import OWN_KEY
from penstock.targets.aws.deployer_policy import deployer_policy
from penstock.targets.aws.policy_parts import MOST_CHARACTERS, length, policy_parts
from penstock.targets.sagemaker.handbook import Place, handbook, pretty, upload_bytes
from penstock.targets.sagemaker.stacks import Emitted, Observed
from penstock.wiring.cloud import emit_stacks

ManifestFile = Annotated[
    Path | None,
    typer.Argument(metavar="[MANIFEST]", help="The manifest; ./penstock.yaml if left out."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="Folder; rendered/ if left out."),
]
Iam = Annotated[
    bool, typer.Option("--iam", help="Print the least that whoever deploys must be allowed.")
]


def command(
    manifest_file: ManifestFile = None,
    out: Out = None,
    iam: Iam = False,
    as_json: AsJson = False,
) -> int:
    """Write templates that deploy with the AWS CLI alone, or print the deployer's IAM policy."""
    manifest = load_manifest(manifest_file)
    region = manifest.target.region or os.environ.get("AWS_REGION") or HOME_REGION
    emitted = emit_stacks(manifest, Observed(region), hub_cache())
    templates = (emitted.base.template, emitted.main.template)
    policy = deployer_policy(
        manifest.name, templates, passed_role(manifest), existing_key(manifest)
    )
    folder = out or Path("rendered")
    if iam:
        print_json(policy) if as_json else print_text(pretty(policy).rstrip())
        if length(policy) > MOST_CHARACTERS:
            note(
                f"This is {length(policy):,} characters, and a managed policy of IAM holds "
                f"{MOST_CHARACTERS:,}: `penstock render` writes it in {len(policy_parts(policy))} "
                f"parts ({folder}/iam), and {folder}/role.sh makes a role of them"
            )
        return 0
    place = Place(manifest.name, region, folder.name, manifest.target.domain)
    files = _write(folder, emitted, handbook(place, emitted, policy_parts(policy)))
    warn(emitted.cautions)
    if as_json:
        print_json({"folder": str(folder), "files": files, "stacks": _stacks(emitted)})
        return 0
    for file in files:
        print_text(str(folder / file))
    note(f"Next: {folder}/deploy.sh applies them with the AWS CLI; {folder}/README.md tells more")
    return 0


def passed_role(manifest: Manifest) -> str | None:
    """The execution role that exists already: the manifest's, or the domain's, whichever it is."""
    return manifest.target.role or ("*" if manifest.target.domain else None)


def existing_key(manifest: Manifest) -> str | None:
    """The KMS key that exists already; none where none is used, or one is made."""
    key = manifest.target.kms_key
    return None if key == OWN_KEY else key


def _stacks(emitted: Emitted) -> list[str]:
    return [emitted.base.name, emitted.main.name]


def _write(folder: Path, emitted: Emitted, texts: Iterable[tuple[str, str]]) -> list[str]:
    """Write `texts` and what is to be uploaded into `folder`; returns their paths in it."""
    files = []
    for path, text in texts:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755 if path.endswith(".sh") else 0o644)
        files.append(path)
    for upload in emitted.uploads:
        file = folder / "uploads" / upload.key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(upload_bytes(upload))
        files.append(f"uploads/{upload.key}")
    return files
