"""The rendered folder: templates, and scripts that apply them with the AWS CLI alone."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.targets.aws.stack import Emitted, Stack, Upload
from penstock.targets.sagemaker.scripts import (
    BUILDING,
    DEPLOY,
    DESTROY,
    FROM_DOMAIN,
    IMAGES,
    KEYS,
    README,
    ROLE,
    SESSION_S,
    TRUST,
    WORKFLOW,
)

FOUND_IN_DOMAIN = {
    "ExecutionRoleArn": "role",
    "SubnetIds": "subnets",
    "SecurityGroupIds": "groups",
    "VpcId": "vpc",
}
"""The shell variables that hold what an existing domain says; all else the base stack does."""
MOST_BYTES = 51_200
"""The longest template that a request to CloudFormation holds."""
TRIGGERS = {
    "deploy": "  push:\n    branches: [main]\n    paths: ['{folder}/**']\n",
    "preview": "  pull_request:\n    paths: ['{folder}/**']\n",
    "destroy": "",
}
"""What starts a workflow, beside somebody's hand."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of what, for where: `folder` is where the files lie in the user's repository."""

    name: str
    region: str
    folder: str
    domain: str | None


def handbook(
    place: Place, emitted: Emitted, policies: Sequence[Mapping[str, object]]
) -> Iterator[tuple[str, str]]:
    """Path and text of each file; `policies` together are what whoever deploys must be allowed."""
    base, main = emitted.base, emitted.main
    stacks = {"name": place.name, "region": place.region, "base": base.name, "main": main.name}
    yield "base.json", _sent_whole(base.template)
    yield "main.json", pretty(main.template)
    yield "README.md", README.format(**stacks, images=_about_images(emitted), keys=_keys(emitted))
    domain = FROM_DOMAIN.format(domain=place.domain) if place.domain else ""
    yield (
        "deploy.sh",
        DEPLOY.format(
            **stacks,
            before_base=domain,
            base_options=_options(base, place),
            main_options=_options(main, place),
            before_main="".join((*map(_upload, emitted.uploads), *_builds(emitted))),
        ),
    )
    yield "destroy.sh", DESTROY.format(**stacks)
    for number, policy in enumerate(policies, start=1):
        yield f"iam/deployer-{number}.json", pretty(policy)
    yield "iam/trust.json", TRUST
    yield "role.sh", ROLE.format(**stacks, session_s=SESSION_S)
    for action, trigger in TRIGGERS.items():
        script = "deploy.sh --no-execute-changeset" if action == "preview" else f"{action}.sh"
        text = WORKFLOW.format(
            **stacks,
            session_s=SESSION_S,
            action=action,
            trigger=trigger.format(folder=place.folder),
            script=f"{place.folder}/{script}",
        )
        yield f"workflows/{action}.yml", text


def pretty(template: Mapping[str, object]) -> str:
    """A template as JSON for people."""
    return json.dumps(template, indent=1) + "\n"


def _sent_whole(template: Mapping[str, object]) -> str:
    """A template without spaces where CloudFormation would not take it in a request otherwise.

    There is no bucket yet to send it through.
    """
    text = pretty(template)
    if len(text.encode()) <= MOST_BYTES:
        return text
    return json.dumps(template, separators=(",", ":")) + "\n"


def upload_bytes(upload: Upload) -> bytes:
    """What is to be uploaded."""
    return upload.content.read_bytes() if isinstance(upload.content, Path) else upload.content()


def _options(stack: Stack, place: Place) -> str:
    tags = " ".join(shlex.quote(f"{key}={value}") for key, value in stack.tags.items())
    lines = [f"--tags {tags}"]
    if stack.capabilities:
        lines.append("--capabilities " + " ".join(stack.capabilities))
    declared = stack.template.get("Parameters")
    if isinstance(declared, dict):
        values = [f"{name}={_value(name, stack, place)}" for name in declared]
        lines.append("--parameter-overrides " + " ".join(values))
    return "".join(f" \\\n  {line}" for line in lines)


def _value(name: str, stack: Stack, place: Place) -> str:
    """A parameter's value as the script has it: known, of the domain, or of the base stack."""
    if name in stack.parameters:
        return shlex.quote(stack.parameters[name])
    if place.domain and name in FOUND_IN_DOMAIN:
        return f'"${FOUND_IN_DOMAIN[name]}"'
    return f'"$(output {name})"'


def _upload(upload: Upload) -> str:
    key = upload.key
    return f'aws s3 cp --only-show-errors "uploads/{key}" "s3://$bucket/{key}"\n'


def _builds(emitted: Emitted) -> Iterator[str]:
    if emitted.builds:
        yield BUILDING
    for build in emitted.builds:
        yield f"image {build.tag} {build.source}\n"


def _about_images(emitted: Emitted) -> str:
    return IMAGES if emitted.builds else ""


def _keys(emitted: Emitted) -> str:
    """How the keys are fetched, where there are any."""
    outputs = emitted.main.template.get("Outputs")
    names = outputs if isinstance(outputs, dict) else {}
    commands = [name for name in names if name.endswith("Command")]
    return KEYS.format(commands=", ".join(f"`{name}`" for name in commands)) if commands else ""
