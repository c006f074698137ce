"""What a request needs to be allowed: IAM's action and the resource, read off the wire.

botocore's service models say which operation a request is and what its parameters are. IAM's name
of an action is mostly the operation's; where it is another one it stands below. A resource that
cannot be told from the request is "any" (see `policies.ANYTHING`): creations that are named by
AWS, and the services that are not in `RESOURCES`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from moto.core.utils import get_service_model
from werkzeug.wrappers import Request

from penstock.rehearsal.permissions.policies import ANYTHING

PREFIXES = {
    "elbv2": "elasticloadbalancing", "efs": "elasticfilesystem", "service-quotas": "servicequotas",
    "cloudwatch": "cloudwatch", "sagemaker-runtime": "sagemaker",
}  # fmt: skip
S3_ACTIONS = {
    "HeadObject": "GetObject", "CopyObject": "PutObject", "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject", "CompleteMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject", "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket", "ListBuckets": "ListAllMyBuckets",
    "ListObjectVersions": "ListBucketVersions", "ListMultipartUploads":
    "ListBucketMultipartUploads", "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
}  # fmt: skip
OTHER_ACTIONS = {
    ("lambda", "Invoke"): "InvokeFunction",
    ("budgets", "CreateBudget"): "ModifyBudget", ("budgets", "UpdateBudget"): "ModifyBudget",
    ("budgets", "DeleteBudget"): "ModifyBudget", ("budgets", "DescribeBudget"): "ViewBudget",
    ("budgets", "DescribeBudgets"): "ViewBudget",
    ("sagemaker-runtime", "InvokeEndpointWithResponseStream"): "InvokeEndpointWithResponseStream",
}  # fmt: skip
RESOURCES = {
    ("sagemaker", "EndpointName"): "endpoint/{}",
    ("sagemaker", "EndpointConfigName"): "endpoint-config/{}",
    ("sagemaker", "ModelName"): "model/{}",
    ("sagemaker", "InferenceComponentName"): "inference-component/{}",
    ("sagemaker-runtime", "EndpointName"): "endpoint/{}",
    ("cloudformation", "StackName"): "stack/{}/any",
    ("logs", "logGroupName"): "log-group:{}:log-stream:",
    ("secretsmanager", "SecretId"): "secret:{}",
    ("secretsmanager", "Name"): "secret:{}-abcdef",
    ("lambda", "FunctionName"): "function:{}",
    ("ecr", "repositoryName"): "repository/{}",
    ("ecs", "service"): "service/any/{}",
    ("codebuild", "projectName"): "project/{}",
    ("codebuild", "name"): "project/{}",
    ("sns", "Name"): "{}",
    ("cloudwatch", "AlarmName"): "alarm:{}",
    ("cloudwatch", "AlarmNames"): "alarm:{}",
}
GLOBAL = {
    ("iam", "RoleName"): "arn:aws:iam::{account}:role/{}",
    ("iam", "UserName"): "arn:aws:iam::{account}:user/{}",
    ("iam", "InstanceProfileName"): "arn:aws:iam::{account}:instance-profile/{}",
    ("iam", "PolicyName"): "arn:aws:iam::{account}:policy/{}",
    ("cloudwatch", "DashboardName"): "arn:aws:cloudwatch::{account}:dashboard/{}",
    ("cloudwatch", "DashboardNames"): "arn:aws:cloudwatch::{account}:dashboard/{}",
}
PASSED = {
    "ExecutionRoleArn": "sagemaker.amazonaws.com", "serviceRole": "codebuild.amazonaws.com",
    "taskRoleArn": "ecs-tasks.amazonaws.com", "executionRoleArn": "ecs-tasks.amazonaws.com",
    "Role": "lambda.amazonaws.com",
}  # fmt: skip
"""Parameters that hand a role to a service, which needs `iam:PassRole`."""


@dataclass(frozen=True, slots=True)
class Need:
    """An action on a resource, with the values of condition keys."""

    action: str
    resource: str
    context: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the account is."""

    region: str
    account: str


def needs(service: str, request: Request, place: Place) -> Iterator[Need]:
    """Return what a request to a service (botocore's name) needs to be allowed."""
    operation, given = _read(service, request)
    if not operation:
        return
    if service == "apigateway":
        arn = f"arn:aws:apigateway:{place.region}::{request.path}"
        yield Need(f"apigateway:{request.method}", arn)
        return
    name = S3_ACTIONS.get(operation, operation) if service == "s3" else operation
    name = OTHER_ACTIONS.get((service, operation), name)
    prefix = PREFIXES.get(service, service)
    yield Need(f"{prefix}:{name}", _resource(service, given, place))
    for key, taker in PASSED.items():
        role = given.get(key)
        if isinstance(role, str) and ":role/" in role and name.startswith(("Create", "Register")):
            yield Need("iam:PassRole", role, {"iam:PassedToService": [taker]})


def _resource(service: str, given: Mapping[str, Any], place: Place) -> str:
    if service == "s3":
        bucket, key = given.get("Bucket"), given.get("Key")
        return f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "") if bucket else "*"
    for (owner, name), pattern in (*RESOURCES.items(), *GLOBAL.items()):
        value = given.get(name)
        value = value[0] if isinstance(value, list) and value else value
        if owner != service or not isinstance(value, str):
            continue
        if value.startswith("arn:"):
            return value
        if (owner, name) in GLOBAL:
            return pattern.format(value, account=place.account)
        return f"arn:aws:{service.removesuffix('-runtime')}:{place.region}:{place.account}:" + (
            pattern.format(value)
        )
    return ANYTHING


def _read(service: str, request: Request) -> tuple[str, Mapping[str, Any]]:
    """Return the operation and its parameters as far as they are of use here."""
    if target := request.headers.get("X-Amz-Target", ""):
        try:
            return target.rpartition(".")[2], json.loads(request.get_data() or b"{}")
        except ValueError:
            return target.rpartition(".")[2], {}
    if action := request.values.get("Action"):
        body = dict(parse_qsl(request.get_data().decode(errors="replace")))
        flat = {k.removesuffix(".member.1"): v for k, v in {**request.args, **body}.items()}
        return action, flat
    for method, pattern, flags, name in _routes(service):
        found = pattern.fullmatch(request.path)
        if method == request.method and found and flags <= set(request.args):
            values = {k: v for k, v in found.groupdict().items() if v}
            if request.is_json and isinstance(body_ := request.get_json(silent=True), dict):
                values |= body_
            return name, values
    return "", {}


@cache
def _routes(service: str) -> list[tuple[str, re.Pattern[str], set[str], str]]:
    """Return the routes of a REST service, the most particular ones first."""
    model = get_service_model(service)
    if not model.protocol.startswith("rest"):
        return []
    found = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        if operation.deprecated:
            continue
        path, _, query = operation.http["requestUri"].partition("?")
        members = operation.input_shape.members if operation.input_shape else {}
        parts = {
            member.serialization.get("name", key): key
            for key, member in members.items()
            if member.serialization.get("location") == "uri"
        }
        flags = {each.partition("=")[0] for each in query.split("&") if each}
        flags |= {
            member.serialization["name"]
            for key, member in members.items()
            if member.serialization.get("location") == "querystring"
            and key in (operation.input_shape.required_members or ())
        }
        text = _pattern(path, parts)
        found.append((operation.http["method"], re.compile(text + "/?"), flags, name))
    return sorted(found, key=lambda each: (-len(each[2]), -each[1].pattern.count("/")))


def _pattern(path: str, names: Mapping[str, str]) -> str:
    def group(found: re.Match[str]) -> str:
        name = names.get(found[1], found[1]).replace("-", "_")
        return f"(?P<{name}>{'.+' if found[2] else '[^/]+'})"

    text = re.escape(path).replace(r"\{", "{").replace(r"\}", "}").replace(r"\+", "+")
    return re.sub(r"{([\w\\-]+)(\+?)}", group, text)
