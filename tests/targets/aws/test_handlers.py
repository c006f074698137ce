"""The deployer's policy against what AWS's resource schemas say that CloudFormation calls."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from penstock.targets.aws.deployer_needs import NEEDS
from penstock.targets.aws.deployer_policy import LINKED, LOOKED_AT, MAKE_LINKED
from penstock.targets.aws.handler_needs import MORE

NOT_CALLED: dict[str, str] = {
    r"iam:(PassRole|GetRole|ListRoles)": "roles are passed by the rows of IAM's own roles",
    r"iam:(Attach|Detach)RolePolicy|iam:\w+PermissionsBoundary|iam:UpdateRole\w*":
        "roles have inline policies alone, and no boundary",
    r"iam:CreateServiceLinkedRole of AWS::EC2::FlowLog": "flow logs are written by a role of ours",
    r"iam:CreateServiceLinkedRole of AWS::RDS::DB(Instance|SubnetGroup)":
        "no instance is without its cluster, whose row allows it",
    r"kms:\w+": "a key of ours has its own row, a key of yours the policy's statement on it",
    r"secretsmanager:\w+": "RDS keeps no password of ours; secrets have rows of their own",
    r"lambda:\w+(Concurrency\w*|CodeSigning\w*|Recursion\w*|Scaling\w*|RuntimeManagement\w*)":
        "functions have none of these",
    r"lambda:(AssociateRuntimeAlias|PassCapacityProvider|PublishVersion|GetLayerVersion)":
        "functions are images without layers, aliases and versions",
    r"(ec2|elasticfilesystem|s3files|s3):\w+ of AWS::Lambda::Function":
        "functions are images, and stand in no network",
    r"application-autoscaling:\w+ScheduledAction": "nothing is scaled by the clock",
    r"billing:\w+|payments:\w+": "budgets have no billing view, firewalls no paid rules",
    r"s3tables:\w+|s3:(Put|Delete|Create|Update|Untag)\w+": "buckets have none of these",
    r"sns:PutDataProtectionPolicy": "topics have no such policy",
    r"apigateway:UpdateRestApiPolicy|s3:GetObject of AWS::ApiGateway.*":
        "the API has no resource policy, and no file of its own",
    r"acm-pca:\w+|acm:(RemoveTagsFromCertificate|UpdateCertificateOptions)":
        "certificates are public ones",
    r"autoscaling:\w+|s3:\w+BucketPolicy of AWS::EC2::FlowLog": "flow logs go to CloudWatch",
    r"ec2:(AcceptAddressTransfer|\w*NatGatewayAddress|\w+SubnetCidrBlock|ModifyVpcTenancy)":
        "networks have none of these",
    r"ec2:(CreateVpcEncryptionControl|\w+VpnGateway|DescribeIpamPools)|vpc-lattice:\w+|vpce:\w+":
        "networks have none of these",
    r"ecs:(PutAccountSetting\w*|PutClusterCapacityProviders)": "clusters have Fargate alone",
    r"elasticfilesystem:(Put|Create|Delete|Update)\w+(Policy|Configuration|Protection)":
        "file systems have none of these",
    r"cognito-idp:\w+|elasticloadbalancing:(ModifyCapacity\w+|ModifyIpPools|SetIpAddressType)":
        "balancers have none of these",
    r"firehose:\w+|s3:REST\.PUT\.OBJECT|logs:\w*(Delivery|ResourcePolicy|IndexPolicy)":
        "log groups have none of these",
    r"logs:(PutBearer\w+|PutLogGroup\w+|\w*DataProtectionPolicy)": "log groups have none of these",
    r"rds:(\w*Role\w*|\w*GlobalCluster|\w*HttpEndpoint|Restore\w+|\w+Replica\w*|Reboot\w+)":
        "databases have none of these",
    r"rds:(CreateDBSnapshot|\w+BackupsReplication)": "databases have none of these",
    r"rds:\w+DBInstance of AWS::RDS::DBCluster": "an instance has its own row",
    r"secretsmanager:\w+Regions?\w*": "secrets are not replicated",
    r"servicediscovery:Update\w+": "namespaces are not changed",
    r"(amplify|apprunner|appsync|bedrock-agentcore|cognito-idp|ec2):\w+ of AWS::WAFv2.*":
        "firewalls stand before balancers and REST APIs",
    r"wafv2:\w+PermissionPolicy": "firewalls are not shared",
}  # fmt: skip
"""What handlers may call and, for our templates, do not."""


def wanted(kind: str) -> Iterator[str]:
    """The actions that a resource type's handlers say they need."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    for handler in ("create", "read", "update", "delete"):
        yield from schema.get("handlers", {}).get(handler, {}).get("permissions", ())


def allowed(kind: str) -> list[str]:
    rows = (*NEEDS[kind], *MORE.get(kind, ()), *LOOKED_AT.get(kind, ()))
    named = [f"{service}:{action}" for service, actions, _ in rows for action in actions.split()]
    return [*named, MAKE_LINKED] if kind in LINKED else named


def is_explained(action: str, kind: str) -> bool:
    names = (action, f"{action} of {kind}")
    return any(re.fullmatch(each, name) for each in NOT_CALLED for name in names)


@pytest.mark.parametrize("kind", sorted(NEEDS))
def test_what_handlers_call_is_allowed_or_explained(kind: str) -> None:
    patterns = [each.lower() for each in allowed(kind)]
    missing = {
        action
        for action in wanted(kind)
        if not any(fnmatchcase(action.lower(), each) for each in patterns)
        and not is_explained(action, kind)
    }
    assert missing == set()


def test_no_explanation_is_left_over() -> None:
    called = {name for kind in NEEDS for a in wanted(kind) for name in (a, f"{a} of {kind}")}
    for each in NOT_CALLED:
        assert any(re.fullmatch(each, name) for name in called), each


def test_there_is_no_row_of_a_type_that_nothing_needs() -> None:
    assert set(MORE) <= set(NEEDS)
