"""The security lint: CloudFormation Guard over every template, each exception explained."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import pytest
from cfn_guard_rs.api import run_checks
from tests.targets.sagemaker.cases import CASES, emitted

RULES = (Path(__file__).parent / "security.guard").read_text(encoding="utf-8")
EXPLAINED = {
    "BUCKETS_KEEP_VERSIONS": "files are named by their digest and never overwritten; answers of "
    "an asynchronous endpoint are kept for 30 days",
    "BUCKETS_LOG_ACCESS": "access logs need a second bucket that outlives the deployment, "
    "which destroy would have to leave: CloudTrail's data events do the same for an account",
    "ROLES_NAME_THEIR_RESOURCES": "ecr:GetAuthorizationToken, ec2:Describe*, "
    "sagemaker:CallWithBearerToken and secretsmanager:ListSecrets know no narrower one than *",
    "LISTENERS_SPEAK_TLS": "plain HTTP is served by an internal load balancer alone, and only "
    "where front.plain_http says so",
    "BALANCERS_LOG_ACCESS": "access logs need a second bucket that outlives the deployment; the "
    "gateway's ledger and audit say who asked what",
    "DATABASES_CANNOT_BE_DELETED": "destroy leaves nothing that costs money; a replaced database "
    "leaves a snapshot",
    "SECRETS_HAVE_A_KEY_OF_YOURS": "without target.kms_key they have AWS's own",
    "LOGS_HAVE_A_KEY_OF_YOURS": "without target.kms_key: own they have CloudWatch's; a key of "
    "yours would have to let CloudWatch in",
    "METHODS_ARE_AUTHORIZED_BY_THE_API": "the gateway behind it asks for the tenant's own key",
    "STAGES_LOG_ACCESS": "API Gateway logs by a role that is set for the whole account, which a "
    "stack must not change",
    "FUNCTIONS_STAND_IN_A_NETWORK": "the function speaks to AWS's services alone, by their public "
    "addresses; nothing reaches it but the API",
    "TOPICS_ARE_ENCRYPTED": "CloudWatch cannot publish to a topic under AWS's own key of SNS; "
    "what is said there are names of alarms, and places of answers without their contents",
    "MODELS_STAND_IN_A_NETWORK": "without target.network or target.domain the containers stand "
    "in SageMaker's own network, which nobody else reaches",
    "VOLUMES_HAVE_A_KEY_OF_YOURS": "SageMaker refuses a key for machines with disks of their own, "
    "which encrypt these themselves; others get target.kms_key",
}


@pytest.mark.parametrize("name", CASES)
def test_every_finding_is_explained(name: str) -> None:
    stacks = emitted(name)
    assert findings(stacks.base.template) | findings(stacks.main.template) <= set(EXPLAINED)


def test_every_explanation_is_needed() -> None:
    every = set[str]()
    for name in CASES:
        stacks = emitted(name)
        every |= findings(stacks.base.template) | findings(stacks.main.template)
    assert every == set(EXPLAINED)


def test_an_exception_for_resources_covers_nothing_else() -> None:
    for name in CASES:
        made: Any = emitted(name).base.template["Resources"]
        role = made.get("ExecutionRole")
        for statement in (
            role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"] if role else ()
        ):
            if statement["Resource"] == ["*"] and "Condition" not in statement:
                first = statement["Action"][0]
                assert first == "ecr:GetAuthorizationToken" or first.startswith("ec2:Describe")


def test_no_role_of_a_front_names_all_resources_but_where_it_must() -> None:
    known = {
        *("ecr:GetAuthorizationToken", "sagemaker:CallWithBearerToken"),
        "secretsmanager:ListSecrets",
    }
    for name in CASES:
        made: Any = emitted(name).main.template["Resources"]
        for each in made.values():
            if each["Type"] != "AWS::IAM::Role":
                continue
            (policy,) = each["Properties"]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]:
                if statement["Resource"] == ["*"]:
                    assert set(statement["Action"]) <= known


@pytest.mark.parametrize(
    ("rule", "path", "value"),
    [
        (
            "BUCKETS_ARE_PRIVATE",
            ("Bucket", "PublicAccessBlockConfiguration", "BlockPublicAcls"),
            False,
        ),
        ("BUCKETS_ARE_ENCRYPTED", ("Bucket", "BucketEncryption"), {}),
        (
            "ROLES_NAME_THEIR_ACTIONS",
            ("ExecutionRole", "ManagedPolicyArns"),
            ["arn:aws:iam::aws:policy/X"],
        ),
    ],
)
def test_the_rules_find_something(rule: str, path: tuple[str, ...], value: object) -> None:
    template: Any = deepcopy(emitted("realtime").base.template)
    assert rule not in findings(template)
    place = template["Resources"][path[0]]["Properties"]
    for step in path[1:-1]:
        place = place[step]
    place[path[-1]] = value
    assert rule in findings(template)


@pytest.mark.parametrize(
    ("rule", "title", "path", "value"),
    [
        ("LISTENERS_SPEAK_TLS", "Listener", ("Protocol",), "HTTP"),
        ("LISTENERS_HAVE_A_NEW_TLS_POLICY", "Listener", ("SslPolicy",), "ELBSecurityPolicy-2016"),
        ("BALANCERS_DROP_ODD_HEADERS", "LoadBalancer", ("LoadBalancerAttributes",), []),
        (
            "GROUPS_LET_THE_WORLD_IN_BY_HTTP_ALONE",
            "DoorGroup",
            ("SecurityGroupIngress", 0, "ToPort"),
            8080,
        ),
        ("GROUPS_SAY_WHERE_THEY_LET_OUT", "DoorGroup", ("SecurityGroupEgress",), []),
        (
            "TASKS_WRITE_TO_VOLUMES_ALONE",
            "UiTask",
            ("ContainerDefinitions", 0, "ReadonlyRootFilesystem"),
            False,
        ),
        ("TASKS_HAVE_NO_RIGHTS_OF_ROOT", "UiTask", ("ContainerDefinitions", 0, "User"), "root"),
        (
            "TASKS_HOLD_NO_SECRET",
            "GatewayTask",
            ("ContainerDefinitions", 0, "Environment"),
            [{"Name": "PGPASSWORD", "Value": "x"}],
        ),
        (
            "TASKS_HAVE_NO_PUBLIC_ADDRESS",
            "Gateway",
            ("NetworkConfiguration", "AwsvpcConfiguration", "AssignPublicIp"),
            "ENABLED",
        ),
        ("IMAGES_ARE_SCANNED_AND_THEIR_TAGS_STAY", "Repository", ("ImageTagMutability",), "X"),
        ("DATABASES_ARE_ENCRYPTED_AND_PRIVATE", "Database", ("StorageEncrypted",), False),
        ("DATABASES_ARE_BACKED_UP", "Database", ("BackupRetentionPeriod",), 1),
        ("FILES_ARE_ENCRYPTED_AND_BACKED_UP", "Files", ("Encrypted",), False),
        ("SECRETS_ARE_MADE_BY_AWS", "AdminKey", ("SecretString",), "mine"),
        ("KEYS_ARE_ROTATED", "Key", ("EnableKeyRotation",), False),
        ("SUBNETS_GIVE_NO_PUBLIC_ADDRESS", "PrivateSubnetA", ("MapPublicIpOnLaunch",), True),
    ],
)
def test_the_rules_find_something_in_fronts(
    rule: str, title: str, path: tuple[str | int, ...], value: object
) -> None:
    stacks = emitted("gateway-managed")
    (template,) = (
        deepcopy(each.template)
        for each in (stacks.base, stacks.main)
        if title in cast("dict[str, Any]", each.template["Resources"])
    )
    assert rule not in findings(template)
    place: Any = cast("Any", template["Resources"])[title]["Properties"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert rule in findings(template)


def findings(template: dict[str, Any]) -> set[str]:
    """The rules that `template` breaks.

    Each is run by itself, and on one resource at a time where its report is long even so:
    cfn_guard_rs 0.3.3 loses the beginning of a long report.
    """
    shared, *rules = re.split(r"^(?=rule )", RULES, flags=re.MULTILINE)
    return {rule.split()[1] for rule in rules if _breaks(template, shared + rule)}


def _breaks(template: dict[str, Any], rule: str) -> bool:
    try:
        return bool(run_checks(template, rule).status == "FAIL")
    except ValueError:
        every = template["Resources"]
        assert len(every) > 1, "one resource alone has too long a report"
        return any(_breaks(template | {"Resources": {k: v}}, rule) for k, v in every.items())
