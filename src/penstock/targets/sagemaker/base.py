"""The base stack: what lasts while the main stack comes and goes."""

import re
from collections.abc import Iterator

from troposphere import AWSObject, GetAtt, Join, Output, Ref, Sub, Template

from penstock.manifest.target import OWN_KEY
from penstock.targets.aws.key import own_key
from penstock.targets.aws.network import INTERFACES, NetworkPlan, group, network, outwards
from penstock.targets.aws.roles import Statement, allow, bucket_arn, role
from penstock.targets.aws.storage import bucket
from penstock.targets.aws.tags import tag_all
from penstock.targets.front.base import front_base, front_outputs
from penstock.targets.front.where import given, own
from penstock.targets.sagemaker.asynchronous import ASYNC_PREFIX
from penstock.targets.sagemaker.deployment import Deployment
from penstock.targets.sagemaker.fronting import scene_of
from penstock.targets.sagemaker.parameters import declare_parameters


def base_template(deployment: Deployment) -> Template:
    """Bucket, and as far as they are wanted the execution role, a key, a network, and a front's.

    Everything that the main stack may need to know is an output.
    """
    template = Template()
    template.set_version()
    template.set_description(f"Penstock {deployment.manifest.name}: {_about(deployment)}")
    key = deployment.key(GetAtt("Key", "Arn"))
    expiring = (ASYNC_PREFIX,) if deployment.mode == "async" else ()
    resources: list[AWSObject] = [*bucket(key, expiring)]
    told: list[tuple[str, object]] = [("BucketName", Ref("Bucket"))]
    if deployment.manifest.target.kms_key == OWN_KEY:
        resources += own_key(deployment.stack)
        told.append(("KeyArn", key))
    if deployment.makes_role:
        statements = execution_statements(deployment, key)
        resources.append(role("ExecutionRole", "sagemaker.amazonaws.com", statements))
        told.append(("ExecutionRoleArn", GetAtt("ExecutionRole", "Arn")))
    if deployment.makes_network:
        resources += _network(deployment)
        told += _network_outputs(deployment)
    if deployment.makes_group:
        resources.append(_containers_group(deployment))
        told.append(("SecurityGroupIds", GetAtt("ContainersGroup", "GroupId")))
    scene = scene_of(deployment, key)
    if scene is not None:
        place = own() if deployment.makes_network else given()
        resources += front_base(scene, place)
        told += front_outputs(scene)
    for resource in resources:
        template.add_resource(resource)
    for name, value in told:
        template.add_output(Output(name, Value=value))
    declare_parameters(template, ())
    tag_all(template, deployment.tags)
    return template


def _about(deployment: Deployment) -> str:
    network = ", network" if deployment.makes_network else ""
    return f"bucket and roles{network}" if deployment.gateway is None else "all that lasts"


def _network(deployment: Deployment) -> list[AWSObject]:
    front, asked = deployment.manifest.front, deployment.manifest.target.network
    sealed = front.kind == "gateway" and deployment.manifest.audit.kms_key
    plan = NetworkPlan(
        asked.cidr,
        has_nat=asked.egress == "nat",
        has_public=front.kind == "gateway" and not front.internal,
        services=(*INTERFACES, "kms") if sealed else INTERFACES,
    )
    return network(plan, deployment.key(GetAtt("Key", "Arn")))


def _containers_group(deployment: Deployment) -> AWSObject:
    out = [outwards(443, "AWS's services, and the Hub")]
    about = f"Model containers of {deployment.stack}"
    vpc = Ref("Vpc") if deployment.makes_network else Ref("VpcId")
    return group("ContainersGroup", about, vpc, out)


def _network_outputs(deployment: Deployment) -> Iterator[tuple[str, object]]:
    yield "VpcId", Ref("Vpc")
    yield "SubnetIds", Join(",", [Ref("PrivateSubnetA"), Ref("PrivateSubnetB")])
    front = deployment.manifest.front
    if front.kind == "gateway" and not front.internal:
        yield "PublicSubnetIds", Join(",", [Ref("PublicSubnetA"), Ref("PublicSubnetB")])


def execution_statements(deployment: Deployment, key: object | None) -> list[Statement]:
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
    if deployment.mode != "serverless":
        statements.append(allow(["cloudwatch:DescribeAlarms"], _alarms(deployment)))
    if deployment.mode == "async":
        statements.append(allow(["s3:PutObject"], [Sub(f"${{Bucket.Arn}}/{ASYNC_PREFIX}*")]))
        topics = "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:"
        statements.append(allow(["sns:Publish"], [Sub(f"{topics}{deployment.stack}-*")]))
    if key is not None:
        statements.append(allow(["kms:Decrypt", "kms:GenerateDataKey"], [key]))
    if deployment.has_network:
        statements += _network_statements()
    return statements


def _alarms(deployment: Deployment) -> list[object]:
    """The alarms that undo a roll-out: SageMaker reads their states as the execution role."""
    names = [f"{deployment.stack}-*", *deployment.manifest.target.update.alarms]
    where = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:"
    return [Sub(where + name) for name in names]


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
