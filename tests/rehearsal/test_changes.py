"""What may be changed in place is changed in place, and the service says so afterwards."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from tests.rehearsal.account import Account, failures
from tests.rehearsal.more_kinds import NAMED, WALLED
from tests.rehearsal.test_kinds import BALANCED, FRONTED, NETWORK, WATCHED
from tests.rehearsal.writing import Tree, of, ref

Read = Callable[[Account, dict[str, str]], Any]
HELD = {
    "Secret": of(
        "SecretsManager::Secret", GenerateSecretString={"PasswordLength": 24}, Description="one"
    ),
    "Parameter": of("SSM::Parameter", Type="String", Value="one"),
}


def plan(aws: Account, ids: dict[str, str]) -> Any:
    return aws.client("apigateway").get_usage_plan(usagePlanId=ids["Plan"])["throttle"]


def stage(aws: Account, ids: dict[str, str]) -> Any:
    told = aws.client("apigateway").get_stage(restApiId=ids["Api"], stageName=ids["Stage"])
    return told["deploymentId"] == ids["Second"], told["methodSettings"]["*/*"][
        "throttlingBurstLimit"
    ]


def record(aws: Account, ids: dict[str, str]) -> Any:
    zone = aws.client("route53").list_resource_record_sets(HostedZoneId=ids["Zone"])
    return [
        each["ResourceRecords"][0]["Value"]
        for each in zone["ResourceRecordSets"]
        if each["Type"] == "TXT"
    ]


def cluster(aws: Account, ids: dict[str, str]) -> Any:
    found = aws.client("ecs").describe_clusters(clusters=[ids["Cluster"]], include=["SETTINGS"])
    return found["clusters"][0]["settings"][0]["value"]


def listener(aws: Account, ids: dict[str, str]) -> Any:
    found = aws.client("elbv2").describe_listeners(ListenerArns=[ids["Listener"]])
    return found["Listeners"][0]["DefaultActions"][0]["Type"]


def acl(aws: Account, ids: dict[str, str]) -> Any:
    waf = aws.client("wafv2")
    found = waf.list_web_acls(Scope="REGIONAL")["WebACLs"]
    name = next(each["Name"] for each in found if each["Id"] == ids["Acl"])
    return waf.get_web_acl(Id=ids["Acl"], Name=name, Scope="REGIONAL")["WebACL"]["DefaultAction"]


def cache(aws: Account, ids: dict[str, str]) -> Any:
    found = aws.client("elasticache").describe_serverless_caches(ServerlessCacheName=ids["Cache"])
    return found["ServerlessCaches"][0]["CacheUsageLimits"]["DataStorage"]["Maximum"]


def key(aws: Account, ids: dict[str, str]) -> Any:
    return aws.client("kms").get_key_rotation_status(KeyId=ids["Key"])["KeyRotationEnabled"]


def topic(aws: Account, ids: dict[str, str]) -> Any:
    told = aws.client("sns").get_topic_attributes(TopicArn=ids["Topic"])["Attributes"]
    return told["DisplayName"]


def secret(aws: Account, ids: dict[str, str]) -> Any:
    return aws.client("secretsmanager").describe_secret(SecretId=ids["Secret"])["Description"]


def parameter(aws: Account, ids: dict[str, str]) -> Any:
    return aws.client("ssm").get_parameter(Name=ids["Parameter"])["Parameter"]["Value"]


def endpoint(aws: Account, ids: dict[str, str]) -> Any:
    found = aws.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[ids["Endpoint"]])
    return "Deny" in found["VpcEndpoints"][0]["PolicyDocument"]


DENIED = {"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}]}
FIXED = {
    "Type": "fixed-response",
    "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/plain"},
}
PINNED = {"Maximum": 5, "Unit": "GB"}
CHANGES: list[tuple[Tree, str, Tree, Read, Any]] = [
    (
        FRONTED, "Plan", {"Throttle": {"RateLimit": 5, "BurstLimit": 10}}, plan,
        {"rateLimit": 5, "burstLimit": 10},
    ),
    (
        FRONTED | {"Second": of("ApiGateway::Deployment", RestApiId=ref("Api"))
                   | {"DependsOn": "Method"}},
        "Stage",
        {
            "DeploymentId": ref("Second"),
            "MethodSettings": [
                {"ResourcePath": "/*", "HttpMethod": "*", "ThrottlingBurstLimit": 7}
            ],
        },
        stage, (True, 7),
    ),
    (NAMED, "Text", {"ResourceRecords": ['"good bye"']}, record, ['"good bye"']),
    (
        BALANCED, "Cluster",
        {"ClusterSettings": [{"Name": "containerInsights", "Value": "disabled"}]},
        cluster, "disabled",
    ),
    (BALANCED, "Listener", {"DefaultActions": [FIXED]}, listener, "fixed-response"),
    (WALLED, "Acl", {"DefaultAction": {"Block": {}}}, acl, {"Block": {}}),
    (WALLED, "Cache", {"CacheUsageLimits": {"DataStorage": PINNED}}, cache, 5),
    (WATCHED, "Key", {"EnableKeyRotation": False}, key, False),
    (WATCHED, "Topic", {"DisplayName": "louder"}, topic, "louder"),
    (HELD, "Secret", {"Description": "two"}, secret, "two"),
    (HELD, "Parameter", {"Value": "two"}, parameter, "two"),
    (NETWORK, "Endpoint", {"PolicyDocument": DENIED}, endpoint, True),
]  # fmt: skip


def needed(stack: Tree, name: str) -> Tree:
    """The resource and all that it stands on."""
    text = {other: str(each) for other, each in stack.items()}
    wanted, found = {name}, set[str]()
    if name in {"Stage", "Plan"}:
        wanted |= {"Second", "Stage"} & set(stack)
    while wanted - found:
        one = (wanted - found).pop()
        found.add(one)
        wanted |= {o for o in stack if f"'{o}'" in text[one] or f"${{{o}" in text[one]}
    return {each: deepcopy(stack[each]) for each in stack if each in found}


@pytest.mark.parametrize(
    ("stack", "name", "wish", "read", "seen"), CHANGES, ids=[c[1] for c in CHANGES]
)
def test_a_change_is_made_in_place(
    aws: Account, stack: Tree, name: str, wish: Tree, read: Read, seen: Any
) -> None:
    before = aws.order("inventory", method="GET")
    resources = needed(stack, name)
    made = aws.deploy(f"change-{name}", {"Resources": resources})
    assert failures(aws, made) == []
    old = ids_of(aws, made)
    resources[name]["Properties"] |= wish
    changed = aws.deploy(f"change-{name}", {"Resources": resources})
    assert failures(aws, changed) == []
    assert changed["StackStatus"] == "UPDATE_COMPLETE"
    assert ids_of(aws, changed) == old
    assert read(aws, old) == seen
    assert aws.destroy(f"change-{name}")["StackStatus"] == "DELETE_COMPLETE"
    assert aws.order("inventory", method="GET") == before


def ids_of(aws: Account, stack: Tree) -> dict[str, str]:
    found = aws.client("cloudformation").describe_stack_resources(StackName=stack["StackId"])
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found["StackResources"]
    }


def test_what_cannot_be_changed_in_place_is_told(aws: Account) -> None:
    stack = {"Api": of("ApiGateway::RestApi", Name="told", MinimumCompressionSize=10)}
    aws.deploy("told", {"Resources": stack})
    stack["Api"]["Properties"]["MinimumCompressionSize"] = 20
    changed = aws.deploy("told", {"Resources": stack})
    assert changed["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    why = "the stand-in cannot change MinimumCompressionSize in place"
    assert failures(aws, changed) == [("Api", why)]
    assert aws.destroy("told")["StackStatus"] == "DELETE_COMPLETE"
