"""What the rendered folder says: its README, its scripts, its workflows."""

SESSION_S = 7200
"""How long a workflow may work: an endpoint with a large model can take more than an hour."""

README = """# {name} on SageMaker, without Penstock

Rendered by `penstock render`; it needs the AWS CLI (version 2) and credentials, and nothing else.

| file | what |
|---|---|
| `base.json` | CloudFormation: what lasts, as the bucket and the roles |
| `main.json` | CloudFormation: what changes, as the endpoint and what clients reach it by |
| `uploads/` | files that have to lie in the bucket (may be missing) |
| `deploy.sh` | applies both stacks, and again after a change; shows the addresses |
| `destroy.sh` | deletes both stacks and what is in the bucket |
| `iam/`, `role.sh` | what whoever deploys must be allowed; makes a role of it for GitHub |
| `workflows/` | GitHub Actions: both, and a preview of pull requests, signed in by OIDC |

    ./deploy.sh                          # apply
    ./deploy.sh --no-execute-changeset   # once it stands: only make the change sets, to look at
    ./destroy.sh

Where the very first `./deploy.sh` failed, CloudFormation takes the same stack again only after
`./destroy.sh`.

## From GitHub

    ./role.sh OWNER/REPOSITORY    # once, by somebody who may make roles; and after a change
    cp workflows/* ../.github/workflows/

The first shows the ARN of a role: put it into the repository's variable `AWS_DEPLOY_ROLE`. The
role has the policies in `iam/` (a managed policy holds 6,144 characters, so there may be several).
Workflows of that repository take it in its environment `production` alone (`iam/trust.json`).
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
case "$bucket" in
  "" | None) ;;  # it was never finished
  *) aws s3 rm "s3://$bucket" --recursive --only-show-errors ;;
esac
aws cloudformation delete-stack --stack-name {base}
aws cloudformation wait stack-delete-complete --stack-name {base}
"""

ROLE = """#!/usr/bin/env bash
# Make the role that workflows of the repository $1 (OWNER/REPOSITORY) deploy with, or renew it.
set -euo pipefail
cd "$(dirname "$0")"
: "${{1:?OWNER/REPOSITORY of the workflows}}"
role={main}-deployer
account=$(aws sts get-caller-identity --query Account --output text)
partition=$(aws sts get-caller-identity --query Arn --output text | cut -d: -f2)
provider="arn:$partition:iam::$account:oidc-provider/token.actions.githubusercontent.com"
trust=$(mktemp)
trap 'rm -f "$trust"' EXIT
sed -e "s|PROVIDER|$provider|" -e "s|REPOSITORY|$1|" iam/trust.json > "$trust"

aws iam get-open-id-connect-provider --open-id-connect-provider-arn "$provider" >/dev/null 2>&1 ||
  aws iam create-open-id-connect-provider --client-id-list sts.amazonaws.com \
    --url https://token.actions.githubusercontent.com
if aws iam get-role --role-name "$role" >/dev/null 2>&1; then
  aws iam update-assume-role-policy --role-name "$role" --policy-document "file://$trust"
else
  aws iam create-role --role-name "$role" --assume-role-policy-document "file://$trust" >/dev/null
fi
aws iam update-role --role-name "$role" --max-session-duration {session_s}
for file in iam/deployer-*.json; do
  name="{main}-$(basename "$file" .json)"
  policy="arn:$partition:iam::$account:policy/$name"
  if aws iam get-policy --policy-arn "$policy" >/dev/null 2>&1; then
    for old in $(aws iam list-policy-versions --policy-arn "$policy" \
      --query 'Versions[?!IsDefaultVersion].VersionId' --output text); do
      aws iam delete-policy-version --policy-arn "$policy" --version-id "$old"
    done
    aws iam create-policy-version --policy-arn "$policy" --set-as-default \
      --policy-document "file://$file" >/dev/null
  else
    aws iam create-policy --policy-name "$name" --policy-document "file://$file" >/dev/null
  fi
  aws iam attach-role-policy --role-name "$role" --policy-arn "$policy"
done
aws iam get-role --role-name "$role" --query Role.Arn --output text
"""

TRUST = """{
 "Version": "2012-10-17",
 "Statement": [
  {
   "Effect": "Allow",
   "Principal": {"Federated": "PROVIDER"},
   "Action": "sts:AssumeRoleWithWebIdentity",
   "Condition": {
    "StringEquals": {
     "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
     "token.actions.githubusercontent.com:sub": "repo:REPOSITORY:environment:production"
    }
   }
  }
 ]
}
"""
"""Who may take the role: not for `str.format`, the script fills it in."""

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
          role-duration-seconds: {session_s}
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
if [ "$groups" = None ]; then
  echo "error: the users of {domain} have no security group for the containers" >&2
  echo "Give target.network its subnets and a group of yours, and render anew." >&2
  exit 1
fi
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
