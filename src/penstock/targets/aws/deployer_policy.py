"""The least that whoever deploys must be allowed, found from the resources of the templates."""

from collections.abc import Iterable, Mapping

from penstock.ground.errors import PenstockError
from penstock.targets.aws.roles import Statement, allow, document

NAME_PIECE = 24
"""How many letters of a stack's name CloudFormation puts into names that may have 64 at most."""


def deployer_policy(
    name: str, templates: Iterable[Mapping[str, object]], role: str | None = None
) -> dict[str, object]:
    """An IAM policy for stacks called `penstock-<name>...` with the resources of `templates`.

    `role` is an execution role that exists already and is handed to SageMaker.

    Raises:
        PenstockError: a resource type has no row here, which is our mistake.
    """
    types = sorted({kind for template in templates for kind in _types(template)})
    unknown = [kind for kind in types if kind not in NEEDS]
    if unknown:
        raise PenstockError(f"no permissions are known for {', '.join(unknown)}")
    stack = f"penstock-{name}"
    statements = [_stacks(stack), *(_statement(stack, *NEEDS[kind]) for kind in types)]
    if role is not None:
        passed = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        statements.append(allow(["iam:PassRole"], [role], passed))
    return document(statements)


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
            *("ContinueUpdateRollback", "GetTemplate", "GetTemplateSummary", "TagResource"),
        )
    ]
    return allow(described + changed, [_arn("cloudformation", f"stack/{stack}*")])


def _statement(stack: str, service: str, actions: str, resource: str) -> Statement:
    short = service in ("iam", "s3")
    where = resource.replace("STACK", stack[:NAME_PIECE] if short else stack)
    arn = where if where == "*" or where.startswith("arn:") else _arn(service, where)
    return allow([f"{service}:{action}" for action in actions.split()], [arn])


def _arn(service: str, resource: str) -> str:
    if service == "iam":
        return f"arn:aws:iam::*:{resource}"
    if service == "s3":
        return f"arn:aws:s3:::{resource}"
    return f"arn:aws:{service}:*:*:{resource}"


NEEDS = {
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        "application-autoscaling",
        "RegisterScalableTarget DeregisterScalableTarget DescribeScalableTargets TagResource "
        "UntagResource ListTagsForResource",
        "*",
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": (
        "application-autoscaling",
        "PutScalingPolicy DeleteScalingPolicy DescribeScalingPolicies",
        "*",
    ),
    "AWS::Budgets::Budget": (
        "budgets",
        "ModifyBudget ViewBudget",
        "arn:aws:budgets::*:budget/*",
    ),
    "AWS::CloudWatch::Alarm": (
        "cloudwatch",
        "PutMetricAlarm DeleteAlarms DescribeAlarms TagResource UntagResource ListTagsForResource",
        "alarm:STACK*",
    ),
    "AWS::CloudWatch::Dashboard": (
        "cloudwatch",
        "PutDashboard DeleteDashboards GetDashboard TagResource",
        "arn:aws:cloudwatch::*:dashboard/STACK*",
    ),
    "AWS::IAM::Role": (
        "iam",
        "CreateRole DeleteRole GetRole GetRolePolicy PutRolePolicy DeleteRolePolicy "
        "UpdateAssumeRolePolicy TagRole UntagRole PassRole",
        "role/STACK*",
    ),
    "AWS::S3::Bucket": (
        "s3",
        "CreateBucket DeleteBucket ListBucket GetObject PutObject DeleteObject "
        "GetBucketTagging PutBucketTagging PutEncryptionConfiguration "
        "PutBucketPublicAccessBlock PutBucketOwnershipControls PutLifecycleConfiguration",
        "STACK*",
    ),
    "AWS::S3::BucketPolicy": (
        "s3",
        "GetBucketPolicy PutBucketPolicy DeleteBucketPolicy",
        "STACK*",
    ),
    "AWS::SNS::Topic": (
        "sns",
        "CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes TagResource "
        "ListTagsForResource",
        "STACK*",
    ),
    "AWS::SNS::Subscription": (
        "sns",
        "Subscribe Unsubscribe GetSubscriptionAttributes",
        "STACK*",
    ),
    "AWS::SageMaker::Endpoint": (
        "sagemaker",
        "CreateEndpoint UpdateEndpoint DeleteEndpoint DescribeEndpoint AddTags ListTags "
        "DeleteTags UpdateEndpointWeightsAndCapacities InvokeEndpoint",
        "endpoint/STACK*",
    ),
    "AWS::SageMaker::EndpointConfig": (
        "sagemaker",
        "CreateEndpointConfig DeleteEndpointConfig DescribeEndpointConfig AddTags",
        "endpoint-config/*",
    ),
    "AWS::SageMaker::InferenceComponent": (
        "sagemaker",
        "CreateInferenceComponent UpdateInferenceComponent DeleteInferenceComponent "
        "DescribeInferenceComponent UpdateInferenceComponentRuntimeConfig AddTags",
        "inference-component/STACK*",
    ),
    "AWS::SageMaker::Model": (
        "sagemaker",
        "CreateModel DeleteModel DescribeModel AddTags",
        "model/*",
    ),
}
"""What CloudFormation calls for each type of resource: service, actions, resource."""
