"""The security lint: CloudFormation Guard over every template, each exception explained."""

import re
from pathlib import Path
from typing import Any

import pytest
from cfn_guard_rs.api import run_checks
from tests.targets.sagemaker.cases import CASES, emitted

RULES = (Path(__file__).parent / "security.guard").read_text(encoding="utf-8")
EXPLAINED = {
    "BUCKETS_KEEP_VERSIONS": "files are named by their digest and never overwritten; answers of "
    "an asynchronous endpoint are kept for 30 days",
    "BUCKETS_LOG_ACCESS": "access logs need a second bucket that outlives the deployment, "
    "which destroy would have to leave: CloudTrail's data events do the same for an account",
    "ROLES_NAME_THEIR_RESOURCES": "ecr:GetAuthorizationToken and ec2:Describe* know no narrower "
    "resource than *",
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
    template: Any = emitted("realtime").base.template
    assert rule not in findings(template)
    place = template["Resources"][path[0]]["Properties"]
    for step in path[1:-1]:
        place = place[step]
    place[path[-1]] = value
    assert rule in findings(template)


def findings(template: dict[str, object]) -> set[str]:
    """The rules that `template` breaks.

    Each is run by itself: cfn_guard_rs 0.3.3 loses the beginning of a long report.
    """
    shared, *rules = re.split(r"^(?=rule )", RULES, flags=re.MULTILINE)
    reports = {rule.split()[1]: run_checks(template, shared + rule) for rule in rules}
    return {name for name, report in reports.items() if report.status == "FAIL"}
