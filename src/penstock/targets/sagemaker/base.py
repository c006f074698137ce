"""The base stack: what lasts while the main stack comes and goes."""

import re

from troposphere import GetAtt, Output, Ref, Sub, Template

from penstock.targets.aws.roles import Statement, allow, bucket_arn, role
from penstock.targets.aws.storage import bucket
from penstock.targets.aws.tags import tag_all
from penstock.targets.sagemaker.asynchronous import ASYNC_PREFIX
from penstock.targets.sagemaker.deployment import Deployment


def base_template(deployment: Deployment) -> Template:
    """Bucket and, unless the user brings one, the execution role."""
    template = Template()
    template.set_version()
    template.set_description(f"Penstock {deployment.manifest.name}: bucket and roles")
    expiring = (ASYNC_PREFIX,) if deployment.mode == "async" else ()
    for resource in bucket(deployment.manifest.target.kms_key, expiring):
        template.add_resource(resource)
    template.add_output(Output("BucketName", Value=Ref("Bucket")))
    if deployment.makes_role:
        statements = execution_statements(deployment)
        template.add_resource(role("ExecutionRole", "sagemaker.amazonaws.com", statements))
        template.add_output(Output("ExecutionRoleArn", Value=GetAtt("ExecutionRole", "Arn")))
    tag_all(template, deployment.tags)
    return template


def execution_statements(deployment: Deployment) -> list[Statement]:
    """What SageMaker may do to run the containers: nothing of managing endpoints is among it."""
    readable = [GetAtt("Bucket", "Arn"), Sub("${Bucket.Arn}/*")]
    for uri in _foreign_uris(deployment):
        name = uri.removeprefix("s3://").partition("/")[0]
        readable += [bucket_arn(name), bucket_arn(name, "/*")]
    logs = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/sagemaker/*"
    statements = [
        allow(["s3:GetObject", "s3:ListBucket"], readable),
        allow(["ecr:GetAuthorizationToken"], ["*"]),
        allow(
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            [_repository(deployment.image)],
        ),
        allow(
            [
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            [Sub(logs)],
        ),
        allow(
            ["cloudwatch:PutMetricData"],
            ["*"],
            {"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*", "AWS/SageMaker"]}},
        ),
    ]
    if deployment.mode == "async":
        statements.append(allow(["s3:PutObject"], [Sub(f"${{Bucket.Arn}}/{ASYNC_PREFIX}*")]))
        topics = "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:"
        statements.append(allow(["sns:Publish"], [Sub(f"{topics}{deployment.stack}-*")]))
    if deployment.manifest.target.kms_key:
        used = ["kms:Decrypt", "kms:GenerateDataKey"]
        statements.append(allow(used, [deployment.manifest.target.kms_key]))
    if deployment.has_network:
        statements += _network_statements()
    return statements


def _network_statements() -> list[Statement]:
    """What it takes to stand in a network of the account."""
    read = ["DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs"]
    interfaces = ["CreateNetworkInterface", "CreateNetworkInterfacePermission"]
    removed = ["DeleteNetworkInterface", "DeleteNetworkInterfacePermission"]
    return [
        allow([f"ec2:Describe{name}" for name in read], ["*"]),
        allow(
            [f"ec2:{name}" for name in (*interfaces, *removed)],
            [Sub("arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:*")],
        ),
    ]


def _foreign_uris(deployment: Deployment) -> list[str]:
    uris = [place for place in deployment.manifest.adapters.values() if place.startswith("s3://")]
    if deployment.artifact and deployment.artifact.uri:
        uris.append(deployment.artifact.uri)
    return sorted({uri.removeprefix("s3://").partition("/")[0] for uri in uris})


def _repository(image: str) -> object:
    """The ARN of the repository that `image` lies in; any, where the address is not ECR's."""
    found = re.match(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com[^/]*/([^:@]+)", image)
    if found is None:
        return "*"
    account, region, name = found.groups()
    return Sub(f"arn:${{AWS::Partition}}:ecr:{region}:{account}:repository/{name}")
