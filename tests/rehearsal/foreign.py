"""Things of somebody else in the rehearsed account, named as near to ours as they can be."""

import hashlib
import json
import time
from typing import Any

from tests.rehearsal.account import Account, one_model, wait_for


def plant(aws: Account, deployment: str) -> None:
    """Put foreign things into the account whose names begin as those of `deployment`."""
    near = f"penstock-{deployment}"
    aws.order("foreign", {})
    made = aws.deploy(f"{near}-2", one_model(EndpointName=f"{near}-2"), Tags=[])
    assert made["StackStatus"] == "CREATE_COMPLETE"
    # What its engine says when it begins is carried there in its own time, and nothing after it.
    wait_for(lambda: _logs(aws).get(f"/aws/sagemaker/Endpoints/{near}-2"))
    bucket = f"{near}-base-bucket-of-others"
    s3, logs = aws.client("s3"), aws.client("logs")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="theirs.bin", Body=bytes(range(256)), Metadata={"a": "b"})
    for group in (
        f"/aws/sagemaker/Endpoints/{near}x",
        f"/aws/sagemaker/InferenceComponents/{near}-based",
    ):
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="one")
        event = {"timestamp": int(time.time() * 1000), "message": "theirs"}
        logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=[event])
    aws.client("iam").create_role(RoleName=f"{near}-role", AssumeRolePolicyDocument="{}")


def snapshot(aws: Account, without: str = "") -> dict[str, Any]:
    """Everything in the account, with contents; what is tagged as the deployment `without` is not.

    Times that only say when something was looked at are left out.
    """
    found = {
        "inventory": aws.order("inventory", method="GET"),
        "buckets": _buckets(aws),
        "stacks": _stacks(aws, without),
        "endpoints": _endpoints(aws),
        "logs": _logs(aws),
        "roles": _roles(aws),
        "secrets": _secrets(aws),
    }
    return json.loads(json.dumps(found, default=str, sort_keys=True))  # type: ignore[no-any-return]


def _buckets(aws: Account) -> dict[str, Any]:
    s3, found = aws.client("s3"), {}
    for bucket in s3.list_buckets()["Buckets"]:
        name, objects = bucket["Name"], {}
        for each in s3.list_objects_v2(Bucket=name).get("Contents", ()):
            answer = s3.get_object(Bucket=name, Key=each["Key"])
            digest = hashlib.sha256(answer["Body"].read()).hexdigest()
            objects[each["Key"]] = [digest, answer["Metadata"], each["LastModified"]]
        found[name] = [bucket["CreationDate"], objects]
    return found


def _stacks(aws: Account, without: str) -> list[Any]:
    cloudformation, found = aws.client("cloudformation"), []
    for stack in cloudformation.describe_stacks()["Stacks"]:
        tags = {each["Key"]: each["Value"] for each in stack.get("Tags", ())}
        if without and tags.get("penstock:deployment") == without:
            continue
        body = cloudformation.get_template(StackName=stack["StackId"])["TemplateBody"]
        resources = cloudformation.describe_stack_resources(StackName=stack["StackId"])
        events = cloudformation.describe_stack_events(StackName=stack["StackId"])["StackEvents"]
        found.append([stack, body, resources["StackResources"], len(events)])
    return found


def _endpoints(aws: Account) -> list[Any]:
    sagemaker = aws.client("sagemaker")
    names = [each["EndpointName"] for each in sagemaker.list_endpoints()["Endpoints"]]
    told = [sagemaker.describe_endpoint(EndpointName=name) for name in names]
    return [{k: v for k, v in each.items() if k != "ResponseMetadata"} for each in told]


def _logs(aws: Account) -> dict[str, Any]:
    logs, found = aws.client("logs"), {}
    for group in logs.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        events = logs.filter_log_events(logGroupName=name)["events"]
        found[name] = [[each["timestamp"], each["message"]] for each in events]
    return found


def _roles(aws: Account) -> list[Any]:
    return list(aws.client("iam").list_roles()["Roles"])


def _secrets(aws: Account) -> list[Any]:
    secrets = aws.client("secretsmanager")
    names = [each["ARN"] for each in secrets.list_secrets()["SecretList"]]
    return [[name, secrets.get_secret_value(SecretId=name)["SecretString"]] for name in names]
