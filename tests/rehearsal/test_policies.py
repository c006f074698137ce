"""What IAM's policies say: deny before allow, wildcards, conditions, and nothing ignored."""

from typing import Any

import pytest

from penstock.rehearsal.permissions.policies import ANYTHING, decide
from penstock.rehearsal.refusals import AwsError

ENDPOINT = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/penstock-bot"


def says(statements: Any, action: str, resource: str = ENDPOINT, **context: str) -> str:
    told = {name.replace("_", ":"): [value] for name, value in context.items()}
    return decide({"p": {"Statement": statements}}, action, resource, told).word


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statement", "action", "word"),
    [
        (allow("sagemaker:*"), "sagemaker:InvokeEndpoint", "allowed"),
        (allow("SageMaker:invokeendpoint"), "sagemaker:InvokeEndpoint", "allowed"),
        (allow(["s3:Get*", "sagemaker:Describe*"]), "sagemaker:InvokeEndpoint", "implicitDeny"),
        (allow("*", "arn:aws:sagemaker:*:*:endpoint/penstock-*"), "sagemaker:X", "allowed"),
        (allow("*", "arn:aws:sagemaker:*:*:endpoint/other-*"), "sagemaker:X", "implicitDeny"),
        (allow("*", "arn:aws:sagemaker:*:*:endpoint/penstock-bo?"), "sagemaker:X", "allowed"),
        (
            {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},
            "iam:PassRole",
            "implicitDeny",
        ),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, "s3:GetObject", "allowed"),
    ],
)
def test_actions_and_resources(statement: Any, action: str, word: str) -> None:
    assert says([statement], action) == word
    assert says(statement, action) == word


def test_a_deny_wins() -> None:
    deny = {"Effect": "Deny", "Action": "sagemaker:Delete*", "Resource": ENDPOINT}
    both = [allow("*"), deny]
    assert says(both, "sagemaker:DeleteEndpoint") == "explicitDeny"
    assert says(both, "sagemaker:DeleteEndpoint", "arn:aws:sagemaker:x:y:endpoint/z") == "allowed"


@pytest.mark.parametrize(
    ("condition", "context", "word"),
    [
        (
            {"StringEquals": {"iam:PassedToService": "a.b"}},
            {"iam_PassedToService": "a.b"},
            "allowed",
        ),
        (
            {"StringEquals": {"iam:PassedToService": "a.b"}},
            {"iam_PassedToService": "c"},
            "implicitDeny",
        ),
        ({"StringEquals": {"iam:PassedToService": "a.b"}}, {}, "implicitDeny"),
        ({"StringEqualsIfExists": {"aws:x": "a"}}, {}, "allowed"),
        ({"StringNotEquals": {"aws:x": "a"}}, {"aws_x": "a"}, "implicitDeny"),
        ({"StringNotEquals": {"aws:x": "a"}}, {}, "allowed"),
        ({"StringLike": {"aws:x": ["b*", "a*"]}}, {"aws_x": "abc"}, "allowed"),
        ({"Bool": {"aws:SecureTransport": "true"}}, {"aws_SecureTransport": "true"}, "allowed"),
        ({"Null": {"aws:x": "true"}}, {}, "allowed"),
        ({"ForAnyValue:StringEquals": {"aws:x": "a"}}, {"aws_x": "a"}, "allowed"),
        ({"NumericLessThanEquals": {"aws:n": "5"}}, {"aws_n": "4"}, "allowed"),
    ],
)
def test_conditions(condition: Any, context: dict[str, str], word: str) -> None:
    assert says([allow("*", Condition=condition)], "iam:PassRole", **context) == word


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(AwsError, match="does not know the operator"):
        says(
            [allow("*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})],
            "a:b",
            aws_SourceIp="1",
        )
    with pytest.raises(AwsError, match="does not know a statement's"):
        says([allow("*", Effects="Deny")], "a:b")


def test_a_resource_that_cannot_be_told_matches_any() -> None:
    narrow = allow("ec2:CreateVpc", "arn:aws:ec2:*:*:vpc/*")
    assert says([narrow], "ec2:CreateVpc", ANYTHING) == "allowed"
    assert says([narrow], "ec2:DeleteVpc", ANYTHING) == "implicitDeny"
