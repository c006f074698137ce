"""IAM roles with the least that they need."""

from collections.abc import Mapping, Sequence

from troposphere import Sub, iam

Statement = dict[str, object]
"""One statement of an IAM policy."""


def allow(
    actions: Sequence[str],
    resources: Sequence[object],
    condition: Mapping[str, object] | None = None,
) -> Statement:
    """A statement that allows `actions` on `resources`."""
    statement: Statement = {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": list(resources),
    }
    return statement | ({"Condition": dict(condition)} if condition else {})


def document(statements: Sequence[Statement]) -> dict[str, object]:
    """A policy of `statements`."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def role(title: str, service: str, statements: Sequence[Statement]) -> iam.Role:
    """A role that `service` takes; CloudFormation names it."""
    trust: Statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return iam.Role(
        title,
        AssumeRolePolicyDocument=document([trust]),
        Policies=[iam.Policy(PolicyName="least", PolicyDocument=document(statements))],
    )


def bucket_arn(name: str, below: str = "") -> Sub:
    """The ARN of a bucket, or of what lies `below` it."""
    return Sub(f"arn:${{AWS::Partition}}:s3:::{name}{below}")
