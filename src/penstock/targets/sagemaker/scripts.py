"""What the rendered folder says: its README, its scripts, its workflows."""

README = """# {name} on SageMaker, without Penstock

Rendered by `penstock render`; it needs the AWS CLI (version 2) and credentials, and nothing else.

| file | what |
|---|---|
| `base.json` | CloudFormation: what lasts, as the bucket and the roles |
| `main.json` | CloudFormation: what changes, as the endpoint and what clients reach it by |
| `uploads/` | files that have to lie in the bucket (may be missing) |
| `deploy.sh` | applies both stacks, and again after a change; shows the addresses |
| `destroy.sh` | deletes both stacks and what is in the bucket |
| `workflows/` | GitHub Actions: both, and a preview of pull requests, signed in by OIDC |

    ./deploy.sh                          # apply
    ./deploy.sh --no-execute-changeset   # once it stands: only make the change sets, to look at
    ./destroy.sh

Copy the workflows to `.github/workflows`. They take the role in the repository's variable
`AWS_DEPLOY_ROLE`. It needs what `penstock render --iam` prints (a managed policy holds 6,144
characters: attach a longer one as several). It trusts `token.actions.githubusercontent.com`
(`sts:AssumeRoleWithWebIdentity`) for the audience `sts.amazonaws.com` and the subject
`repo:OWNER/REPOSITORY:environment:production` alone.
{images}{keys}
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
{before_base}
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
      - run: {script}
"""
"""The variable `AWS_DEPLOY_ROLE` names a role that trusts GitHub's OIDC provider."""

FROM_DOMAIN = """domain() {{
  aws sagemaker describe-domain --domain-id {domain} --query "$1" --output text | tr '\\t' ','
}}
role=$(domain DefaultUserSettings.ExecutionRole)
subnets=$(domain SubnetIds)
groups=$(domain DefaultUserSettings.SecurityGroups)
vpc=$(domain VpcId)
"""
"""What is read of an existing domain; nothing of it is changed."""

BUILDING = """repository=$(output RepositoryUri)
image() {  # tag, source: unless it is there, by Docker where there is one, else by CodeBuild
  aws ecr describe-images --repository-name "${repository#*/}" \\
    --image-ids "imageTag=$1" >/dev/null 2>&1 && return
  if [ -z "${CODEBUILD:-}" ] && command -v unzip >/dev/null && docker info >/dev/null 2>&1; then
    local folder
    folder=$(mktemp -d)
    unzip -q "uploads/$2" -d "$folder"
    aws ecr get-login-password | docker login --username AWS --password-stdin "${repository%%/*}"
    docker build --pull --platform linux/amd64 --tag "$repository:$1" "$folder"
    docker push "$repository:$1"
    rm -rf "$folder"
    return
  fi
  local build status=IN_PROGRESS
  build=$(aws codebuild start-build --project-name "$(output BuildProject)" \\
    --source-location-override "$bucket/$2" \\
    --environment-variables-override "name=IMAGE_TAG,value=$1" --query build.id --output text)
  while [ "$status" = IN_PROGRESS ]; do
    sleep 10
    status=$(aws codebuild batch-get-builds --ids "$build" \\
      --query 'builds[0].buildStatus' --output text)
  done
  [ "$status" = SUCCEEDED ] && return
  echo "error: the image $1 was not built: $status. Its log is that of the build $build" >&2
  exit 1
}
"""
"""How the script builds images; not for `str.format`."""

IMAGES = """
Images are built on the way, each once: by Docker where it runs on this machine, else by CodeBuild
in the account (`CODEBUILD=1 ./deploy.sh` insists on that). By hand, with the tag and the source
that `deploy.sh` names at the line `image`:

    aws codebuild start-build --project-name BUILD_PROJECT \\
      --source-location-override BUCKET/SOURCE \\
      --environment-variables-override name=IMAGE_TAG,value=TAG
"""
KEYS = """
Keys are made by Secrets Manager, and lie nowhere else. These outputs are the commands that fetch
them: {commands}.
"""
