"""What exists in the rehearsed account, and what of it would be on the bill."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.cloudformation.records import Deck
from penstock.rehearsal.sagemaker.records import Estate

Thing = dict[str, Any]
FOREIGN, PRECIOUS = "somebody-elses", bytes(range(256))


@dataclass(frozen=True, slots=True)
class Listing:
    """How the things of one type are listed: the call, where they are, what names them."""

    kind: str
    service: str
    call: str
    path: str
    name: str
    billable: bool = False
    counts: Callable[[Thing], bool] = lambda _: True


def _is_own_network(thing: Thing) -> bool:
    return not thing.get("IsDefault") and not thing.get("DefaultForAz")


LISTINGS = (
    Listing("AWS::S3::Bucket", "s3", "list_buckets", "Buckets", "Name", True),
    Listing("AWS::IAM::Role", "iam", "list_roles", "Roles", "RoleName"),
    Listing(
        "AWS::IAM::ManagedPolicy", "iam", "list_policies", "Policies", "PolicyName",
        counts=lambda t: not t["Arn"].startswith("arn:aws:iam::aws:"),
    ),
    Listing(
        "AWS::IAM::InstanceProfile", "iam", "list_instance_profiles", "InstanceProfiles",
        "InstanceProfileName",
    ),
    Listing("AWS::EC2::VPC", "ec2", "describe_vpcs", "Vpcs", "VpcId", counts=_is_own_network),
    Listing(
        "AWS::EC2::Subnet", "ec2", "describe_subnets", "Subnets", "SubnetId",
        counts=_is_own_network,
    ),
    Listing(
        "AWS::EC2::SecurityGroup", "ec2", "describe_security_groups", "SecurityGroups", "GroupId",
        counts=lambda t: t["GroupName"] != "default",
    ),
    Listing(
        "AWS::EC2::NatGateway", "ec2", "describe_nat_gateways", "NatGateways", "NatGatewayId",
        True, lambda t: t["State"] != "deleted",
    ),
    Listing("AWS::EC2::EIP", "ec2", "describe_addresses", "Addresses", "AllocationId", True),
    Listing(
        "AWS::EC2::VPCEndpoint", "ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId",
        True, lambda t: t["State"] != "deleted",
    ),
    Listing(
        "AWS::EC2::LaunchTemplate", "ec2", "describe_launch_templates", "LaunchTemplates",
        "LaunchTemplateId",
    ),
    Listing(
        "AWS::ECR::Repository", "ecr", "describe_repositories", "repositories", "repositoryName",
        True,
    ),
    Listing("AWS::CodeBuild::Project", "codebuild", "list_projects", "projects", ""),
    Listing(
        "AWS::ElasticLoadBalancingV2::LoadBalancer", "elbv2", "describe_load_balancers",
        "LoadBalancers", "LoadBalancerName", True,
    ),
    Listing(
        "AWS::ElasticLoadBalancingV2::TargetGroup", "elbv2", "describe_target_groups",
        "TargetGroups", "TargetGroupName",
    ),
    Listing(
        "AWS::CertificateManager::Certificate", "acm", "list_certificates",
        "CertificateSummaryList", "CertificateArn",
    ),
    Listing(
        "AWS::RDS::DBCluster", "rds", "describe_db_clusters", "DBClusters", "DBClusterIdentifier",
        True,
    ),
    Listing(
        "AWS::RDS::DBInstance", "rds", "describe_db_instances", "DBInstances",
        "DBInstanceIdentifier", True,
    ),
    Listing(
        "AWS::ElastiCache::ServerlessCache", "elasticache", "describe_serverless_caches",
        "ServerlessCaches", "ServerlessCacheName", True,
    ),
    Listing(
        "AWS::SecretsManager::Secret", "secretsmanager", "list_secrets", "SecretList", "Name", True
    ),
    Listing("AWS::Logs::LogGroup", "logs", "describe_log_groups", "logGroups", "logGroupName"),
    Listing(
        "AWS::CloudWatch::Alarm", "cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName",
        True,
    ),
    Listing(
        "AWS::CloudWatch::Dashboard", "cloudwatch", "list_dashboards", "DashboardEntries",
        "DashboardName", True,
    ),
    Listing("AWS::SNS::Topic", "sns", "list_topics", "Topics", "TopicArn"),
    Listing("AWS::Events::Rule", "events", "list_rules", "Rules", "Name"),
    Listing("AWS::Scheduler::Schedule", "scheduler", "list_schedules", "Schedules", "Name"),
    Listing(
        "AWS::EFS::FileSystem", "efs", "describe_file_systems", "FileSystems", "FileSystemId",
        True,
    ),
    Listing(
        "AWS::Route53::HostedZone", "route53", "list_hosted_zones", "HostedZones", "Name", True
    ),
    Listing("AWS::EC2::FlowLog", "ec2", "describe_flow_logs", "FlowLogs", "FlowLogId", True),
    Listing("AWS::ElastiCache::User", "elasticache", "describe_users", "Users", "UserId"),
    Listing(
        "AWS::ElastiCache::UserGroup", "elasticache", "describe_user_groups", "UserGroups",
        "UserGroupId",
    ),
    Listing("AWS::ApiGateway::RestApi", "apigateway", "get_rest_apis", "items", "name"),
    Listing("AWS::ApiGateway::ApiKey", "apigateway", "get_api_keys", "items", "name"),
    Listing("AWS::ApiGateway::UsagePlan", "apigateway", "get_usage_plans", "items", "name"),
    Listing("AWS::Lambda::Function", "lambda", "list_functions", "Functions", "FunctionName"),
)  # fmt: skip


class Inventory:
    """Looks at every service."""

    def __init__(self, cloud: Cloud, estate: Estate, deck: Deck) -> None:
        self._cloud, self._estate, self._deck = cloud, estate, deck
        self._planted: list[Thing] = []

    def everything(self) -> list[Thing]:
        """Return every resource: its type, name and whether it costs money while it stands."""
        return [*self._own(), *self._of_moto()]

    def plant(self, _: Thing) -> list[Thing]:
        """Put things of somebody else into the account, once; returns them."""
        if not self._planted:
            self._planted = self._plant()
        return self._planted

    def _plant(self) -> list[Thing]:
        s3, iam = self._cloud.client("s3"), self._cloud.client("iam")
        where = {"LocationConstraint": self._cloud.region}
        more = {} if self._cloud.region == "us-east-1" else {"CreateBucketConfiguration": where}
        s3.create_bucket(Bucket=FOREIGN, **more)
        s3.put_object(Bucket=FOREIGN, Key="precious.bin", Body=PRECIOUS)
        iam.create_role(
            RoleName=FOREIGN, AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}'
        )
        vpc = self._cloud.client("ec2").create_vpc(CidrBlock="172.20.0.0/16")["Vpc"]["VpcId"]
        self._cloud.client("secretsmanager").create_secret(Name=FOREIGN, SecretString="theirs")
        return [
            _thing("AWS::S3::Bucket", FOREIGN, billable=True),
            _thing("AWS::IAM::Role", FOREIGN),
            _thing("AWS::EC2::VPC", vpc),
            _thing("AWS::SecretsManager::Secret", FOREIGN, billable=True),
        ]

    def _own(self) -> Iterator[Thing]:
        estate = self._estate
        yield from (_thing("AWS::SageMaker::Model", name) for name in list(estate.models))
        yield from (
            _thing("AWS::SageMaker::EndpointConfig", name) for name in list(estate.configs)
        )
        for name in list(estate.endpoints):
            yield _thing("AWS::SageMaker::Endpoint", name, billable=True)
        for name in list(estate.components):
            yield _thing("AWS::SageMaker::InferenceComponent", name)
        for stack in list(self._deck.stacks.values()):
            if stack.deleted is None:
                yield _thing("AWS::CloudFormation::Stack", stack.name)

    def _of_moto(self) -> Iterator[Thing]:
        for each in LISTINGS:
            client = self._cloud.client(each.service)
            for found in getattr(client, each.call)().get(each.path, ()):
                if not each.name:
                    yield _thing(each.kind, found, billable=each.billable)
                elif each.counts(found):
                    yield _thing(each.kind, found[each.name], billable=each.billable)
        yield from self._with_states()

    def _with_states(self) -> Iterator[Thing]:
        """What is still listed for a while after it was deleted."""
        ecs, kms = self._cloud.client("ecs"), self._cloud.client("kms")
        arns = ecs.list_clusters()["clusterArns"]
        for cluster in ecs.describe_clusters(clusters=arns)["clusters"] if arns else ():
            if cluster["status"] != "INACTIVE":
                yield _thing("AWS::ECS::Cluster", cluster["clusterName"])
        for key in kms.list_keys()["Keys"]:
            told = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
            of_aws = told["Description"].startswith("Default")  # made by moto's RDS, free in AWS
            if told["KeyState"] != "PendingDeletion" and not of_aws:
                yield _thing("AWS::KMS::Key", key["KeyId"], billable=True)
        for held in self._cloud.client("ec2").describe_instances()["Reservations"]:
            for machine in held["Instances"]:
                if machine["State"]["Name"] != "terminated":
                    yield _thing("AWS::EC2::Instance", machine["InstanceId"], billable=True)


def _thing(kind: str, name: str, *, billable: bool = False) -> Thing:
    return {"type": kind, "name": name, "billable": billable}
