"""The rendered folder: templates, and scripts that apply them with the AWS CLI alone."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.targets.aws.stack import Emitted, Stack, Upload

README = """# {name} on SageMaker, without Penstock

Rendered by `penstock render`; it needs the AWS CLI (version 2) and credentials, and nothing else.

| file | what |
|---|---|
| `base.json` | CloudFormation: bucket and roles, which last |
| `main.json` | CloudFormation: model, endpoint, scaling, alarms, dashboard |
| `uploads/` | files that have to lie in the bucket (may be missing) |
| `deploy.sh` | applies both stacks, and again after a change; shows the addresses |
| `destroy.sh` | deletes both stacks and what is in the bucket |
| `workflows/` | both as GitHub Actions, signed in by OIDC: copy them to `.github/workflows` |

    ./deploy.sh                          # apply
    ./deploy.sh --no-execute-changeset   # once it stands: only make the change sets, to look at
    ./destroy.sh

The workflows take the role in the repository's variable `AWS_DEPLOY_ROLE`. It needs what
`penstock render --iam` prints. It trusts `token.actions.githubusercontent.com`
(`sts:AssumeRoleWithWebIdentity`) for the audience `sts.amazonaws.com` and the subject
`repo:OWNER/REPOSITORY:environment:production` alone.

An endpoint costs money from its creation to its deletion, used or not. The region is {region}; the
image's address belongs to it, so render anew for another one.
"""

DEPLOY = """#!/usr/bin/env bash
# Apply both stacks; arguments go on to `aws cloudformation deploy`.
set -euo pipefail
cd "$(dirname "$0")"
export AWS_REGION={region} AWS_DEFAULT_REGION={region}

output() {{
  aws cloudformation describe-stacks --stack-name {base} \\
    --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text
}}

aws cloudformation deploy --stack-name {base} --template-file base.json \\
  --no-fail-on-empty-changeset{base_options} "$@"
bucket=$(output BucketName)
{before_main}aws cloudformation deploy --stack-name {main} --template-file main.json \\
  --s3-bucket "$bucket" --s3-prefix templates \\
  --no-fail-on-empty-changeset{main_options} "$@"
aws cloudformation describe-stacks --stack-name {main} --query 'Stacks[0].Outputs' --output table
"""

DESTROY = """#!/usr/bin/env bash
# Delete both stacks, the components and the endpoint first, and what is in the bucket.
set -euo pipefail
export AWS_REGION={region} AWS_DEFAULT_REGION={region}

aws cloudformation delete-stack --stack-name {main}
aws cloudformation wait stack-delete-complete --stack-name {main}
bucket=$(aws cloudformation describe-stacks --stack-name {base} \\
  --query "Stacks[0].Outputs[?OutputKey=='BucketName'].OutputValue" --output text)
aws s3 rm "s3://$bucket" --recursive --only-show-errors
aws cloudformation delete-stack --stack-name {base}
aws cloudformation wait stack-delete-complete --stack-name {base}
"""

WORKFLOW = """name: {action} {name}
on:
  workflow_dispatch:
{trigger}permissions:
  contents: read
  id-token: write
concurrency: {base}
jobs:
  {action}:
    runs-on: ubuntu-latest
    environment: production
    timeout-minutes: 120
    steps:
      - uses: actions/checkout@v4
      - uses: aws-actions/configure-aws-credentials@v4
        with:
          role-to-assume: ${{{{ vars.AWS_DEPLOY_ROLE }}}}
          aws-region: {region}
      - run: {folder}/{action}.sh
"""
"""The variable `AWS_DEPLOY_ROLE` names a role that trusts GitHub's OIDC provider."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of what, for where: `folder` is where the files lie in the user's repository."""

    name: str
    region: str
    folder: str
    domain: str | None


def handbook(place: Place, emitted: Emitted) -> Iterator[tuple[str, str]]:
    """Path and text of each file."""
    base, main = emitted.base, emitted.main
    stacks = {"name": place.name, "region": place.region, "base": base.name, "main": main.name}
    yield "base.json", pretty(base.template)
    yield "main.json", pretty(main.template)
    yield "README.md", README.format(**stacks)
    yield (
        "deploy.sh",
        DEPLOY.format(
            **stacks,
            base_options=_options(base),
            main_options=_options(main),
            before_main="".join((_known(emitted, place), *map(_upload, emitted.uploads))),
        ),
    )
    yield "destroy.sh", DESTROY.format(**stacks)
    push = f"  push:\n    branches: [main]\n    paths: ['{place.folder}/**']\n"
    for action, trigger in (("deploy", push), ("destroy", "")):
        text = WORKFLOW.format(**stacks, action=action, trigger=trigger, folder=place.folder)
        yield f"workflows/{action}.yml", text


def pretty(template: Mapping[str, object]) -> str:
    """A template as JSON for people."""
    return json.dumps(template, indent=1) + "\n"


def upload_bytes(upload: Upload) -> bytes:
    """What is to be uploaded."""
    return upload.content.read_bytes() if isinstance(upload.content, Path) else upload.content()


def _options(stack: Stack) -> str:
    tags = " ".join(shlex.quote(f"{key}={value}") for key, value in stack.tags.items())
    lines = [f"--tags {tags}"]
    if stack.capabilities:
        lines.append("--capabilities " + " ".join(stack.capabilities))
    declared = stack.template.get("Parameters")
    if isinstance(declared, dict):
        known = stack.parameters
        values = [
            f"{name}={shlex.quote(known[name])}" if name in known else f'{name}="${VALUES[name]}"'
            for name in declared
        ]
        lines.append("--parameter-overrides " + " ".join(values))
    return "".join(f" \\\n  {line}" for line in lines)


VALUES = {
    "BucketName": "bucket",
    "ExecutionRoleArn": "role",
    "SubnetIds": "subnets",
    "SecurityGroupIds": "groups",
}
"""The shell variables that hold what is found out while the script runs."""

FROM_DOMAIN = """domain() {{
  aws sagemaker describe-domain --domain-id {domain} --query "$1" --output text | tr '\\t' ','
}}
role=$(domain DefaultUserSettings.ExecutionRole)
subnets=$(domain SubnetIds)
groups=$(domain DefaultUserSettings.SecurityGroups)
"""


def _known(emitted: Emitted, place: Place) -> str:
    """How the script finds the role and the network."""
    if place.domain:
        return FROM_DOMAIN.format(domain=place.domain)
    made = "ExecutionRoleArn" not in emitted.main.parameters
    return "role=$(output ExecutionRoleArn)\n" if made else ""


def _upload(upload: Upload) -> str:
    key = shlex.quote(f"uploads/{upload.key}")
    return f'aws s3 cp --only-show-errors {key} "s3://$bucket/{upload.key}"\n'
