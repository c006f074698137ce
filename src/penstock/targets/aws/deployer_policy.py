"""The least that whoever deploys must be allowed, found from the resources of the templates."""

from collections.abc import Iterable, Mapping

from penstock.ground.errors import PenstockError
from penstock.targets.aws.deployer_needs import NEEDS, Need
from penstock.targets.aws.handler_needs import MORE
from penstock.targets.aws.roles import Statement, allow, document

NAME_PIECE = 24
"""How many letters of a stack's name CloudFormation puts into names that may have 64 at most."""
SHORT = ("ecr", "ecs", "elasticache", "elasticloadbalancing", "iam", "lambda", "rds", "s3")
"""Services with such names."""

_LOGS = "log-group:/aws/sagemaker/*"
LOOKED_AT: dict[str, tuple[Need, ...]] = {
    "AWS::S3::Bucket": (
        ("s3", "ListBucketVersions DeleteObjectVersion GetObjectVersion", "STACK*"),
    ),
    "AWS::SageMaker::Endpoint": (
        ("sagemaker", "ListInferenceComponents DescribeDomain", "*"),
        ("logs", "DescribeLogGroups", "*"),
        ("logs", "DescribeLogStreams GetLogEvents FilterLogEvents DeleteLogGroup", _LOGS),
    ),
    "AWS::SageMaker::InferenceComponent": (
        ("sagemaker", "InvokeEndpoint ListTags", "inference-component/STACK*"),
    ),
    "AWS::CodeBuild::Project": (
        ("codebuild", "StartBuild BatchGetBuilds ListBuildsForProject", "project/*"),
    ),
    "AWS::RDS::DBCluster": (
        ("rds", "CreateDBClusterSnapshot AddTagsToResource", "cluster-snapshot:STACK*"),
        ("rds", "DescribeDBClusterSnapshots", "*"),
        ("logs", "DeleteLogGroup", "log-group:/aws/rds/cluster/STACK*"),
    ),
    "AWS::ECS::Cluster": (
        ("logs", "DeleteLogGroup", "log-group:/aws/ecs/containerinsights/STACK*"),
    ),
    "AWS::ECR::Repository": (("ecr", "DescribeImages", "repository/STACK*"),),
}
"""What Penstock itself asks and does, beside what CloudFormation does."""

_SCALING = ("ecs.application-autoscaling", "sagemaker.application-autoscaling")
LINKED: dict[str, tuple[str, ...]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": _SCALING,
    "AWS::ECS::Cluster": ("ecs",),
    "AWS::EFS::FileSystem": ("elasticfilesystem",),
    "AWS::ElastiCache::ServerlessCache": ("elasticache",),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("elasticloadbalancing",),
    "AWS::RDS::DBCluster": ("rds",),
}
"""Services that make themselves a role in an account when they are first used there."""
MAKE_LINKED = "iam:CreateServiceLinkedRole"
_WITH_KEY = (
    "DescribeKey CreateGrant RetireGrant Decrypt Encrypt GenerateDataKey "
    "GenerateDataKeyWithoutPlaintext"
)


def deployer_policy(
    name: str,
    templates: Iterable[Mapping[str, object]],
    role: str | None = None,
    key: str | None = None,
) -> dict[str, object]:
    """An IAM policy for stacks called `penstock-<name>...` with the resources of `templates`.

    `role` is an execution role that exists already and is handed to SageMaker; `key` is the ARN
    of a KMS key that exists already.

    Raises:
        PenstockError: a resource type has no row here, which is our mistake.
    """
    types = sorted({kind for template in templates for kind in _types(template)})
    unknown = [kind for kind in types if kind not in NEEDS]
    if unknown:
        raise PenstockError(f"no permissions are known for {', '.join(unknown)}")
    stack = f"penstock-{name}"
    rows = ((*NEEDS[kind], *MORE.get(kind, ())) for kind in types)
    needs = dict.fromkeys(need for row in rows for need in row)
    own = dict.fromkeys(need for kind in types for need in LOOKED_AT.get(kind, ()))
    asked = (_statement(stack, *need) for need in (*needs, *own))
    statements = [_stacks(stack), *_together(asked)]
    linked = dict.fromkeys(each for kind in types for each in LINKED.get(kind, ()))
    if linked:
        places = [f"role/aws-service-role/{each}.amazonaws.com/*" for each in linked]
        statements.append(allow([MAKE_LINKED], [_arn("iam", place) for place in places]))
    if key is not None:
        statements.append(allow([f"kms:{each}" for each in _WITH_KEY.split()], [key]))
    if role is not None:
        passed = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        statements.append(allow(["iam:PassRole"], [role], passed))
    return document(statements)


def _together(statements: Iterable[Statement]) -> list[Statement]:
    """As few statements as say the same: one for each resource, then one for each set of actions.

    A managed policy of AWS has 6,144 characters at most, an inline one of a role 10,240.
    """
    by_resource: dict[str, list[str]] = {}
    for statement in statements:
        (resource,), actions = _texts(statement, "Resource"), _texts(statement, "Action")
        by_resource.setdefault(resource, []).extend(actions)
    by_actions: dict[tuple[str, ...], list[str]] = {}
    for resource, actions in by_resource.items():
        by_actions.setdefault(tuple(dict.fromkeys(actions)), []).append(resource)
    return [allow(actions, resources) for actions, resources in by_actions.items()]


def _texts(statement: Statement, name: str) -> list[str]:
    found = statement[name]
    return [str(each) for each in found] if isinstance(found, list) else []


def _types(template: Mapping[str, object]) -> list[str]:
    resources = template["Resources"]
    return [each["Type"] for each in resources.values()] if isinstance(resources, dict) else []


def _stacks(stack: str) -> Statement:
    actions = ("ChangeSet", "Stacks", "StackEvents", "StackResources")
    described = [f"cloudformation:Describe{action}" for action in actions]
    changed = [
        f"cloudformation:{action}"
        for action in (
            *("CreateChangeSet", "ExecuteChangeSet", "DeleteChangeSet", "DeleteStack"),
            *(
                "ContinueUpdateRollback",
                "RollbackStack",
                "GetTemplate",
                "GetTemplateSummary",
                "TagResource",
            ),
            *("ListChangeSets", "ListStackResources"),
        )
    ]
    return allow(described + changed, [_arn("cloudformation", f"stack/{stack}*")])


def _statement(stack: str, service: str, actions: str, resource: str) -> Statement:
    short = service in SHORT
    where = resource.replace("STACK", stack[:NAME_PIECE] if short else stack)
    where = where.replace("DEPLOYMENT", stack.removeprefix("penstock-"))
    arn = where if where == "*" or where.startswith("arn:") else _arn(service, where)
    return allow([f"{service}:{action}" for action in actions.split()], [arn])


def _arn(service: str, resource: str) -> str:
    if service == "iam":
        return f"arn:aws:iam::*:{resource}"
    if service == "s3":
        return f"arn:aws:s3:::{resource}"
    return f"arn:aws:{service}:*:*:{resource}"
