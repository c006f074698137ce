"""Stacks of the kinds that stand round a front: files, names, a wall, flow logs, cache users."""

from tests.rehearsal.writing import att, of, ref

NET = {
    "Vpc": of("EC2::VPC", CidrBlock="10.0.0.0/16"),
    "Subnet": of(
        "EC2::Subnet", VpcId=ref("Vpc"), CidrBlock="10.0.0.0/24", AvailabilityZone="us-east-1a"
    ),
    "Group": of("EC2::SecurityGroup", GroupDescription="files", VpcId=ref("Vpc")),
}

FILES = NET | {
    "Files": of(
        "EFS::FileSystem", Encrypted=True, FileSystemTags=[{"Key": "a", "Value": "b"}],
        LifecyclePolicies=[{"TransitionToIA": "AFTER_30_DAYS"}],
        BackupPolicy={"Status": "ENABLED"},
    ),
    "Mount": of(
        "EFS::MountTarget", FileSystemId=ref("Files"), SubnetId=ref("Subnet"),
        SecurityGroups=[att("Group", "GroupId")],
    ),
    "Access": of(
        "EFS::AccessPoint", FileSystemId=ref("Files"), PosixUser={"Uid": "1000", "Gid": "1000"},
        RootDirectory={
            "Path": "/data",
            "CreationInfo": {"OwnerUid": "1000", "OwnerGid": "1000", "Permissions": "0750"},
        },
    ),
    "Flows": of("Logs::LogGroup", RetentionInDays=7),
    "Role": of(
        "IAM::Role",
        AssumeRolePolicyDocument={
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow", "Action": "sts:AssumeRole",
                    "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
                }
            ],
        },
    ),
    "Flow": of(
        "EC2::FlowLog", ResourceId=ref("Vpc"), ResourceType="VPC", TrafficType="REJECT",
        LogDestinationType="cloud-watch-logs", LogGroupName=ref("Flows"),
        DeliverLogsPermissionArn=att("Role", "Arn"),
    ),
}  # fmt: skip

NAMED = NET | {
    "Zone": of("Route53::HostedZone", Name="example.com"),
    "Second": of(
        "EC2::Subnet", VpcId=ref("Vpc"), CidrBlock="10.0.1.0/24", AvailabilityZone="us-east-1b"
    ),
    "Balancer": of(
        "ElasticLoadBalancingV2::LoadBalancer", Subnets=[ref("Subnet"), ref("Second")],
        SecurityGroups=[att("Group", "GroupId")],
    ),
    "Name": of(
        "Route53::RecordSet", HostedZoneId=ref("Zone"), Name="chat.example.com", Type="A",
        AliasTarget={
            "DNSName": att("Balancer", "DNSName"),
            "HostedZoneId": att("Balancer", "CanonicalHostedZoneID"),
        },
    ),
    "Inside": of(
        "ServiceDiscovery::PrivateDnsNamespace", Name="rehearsed.internal", Vpc=ref("Vpc")
    ),
    "Found": of(
        "ServiceDiscovery::Service", Name="gateway", NamespaceId=ref("Inside"),
        DnsConfig={"DnsRecords": [{"Type": "A", "TTL": "10"}], "RoutingPolicy": "MULTIVALUE"},
    ),
    "Text": of(
        "Route53::RecordSet", HostedZoneName="example.com.", Name="note.example.com", Type="TXT",
        TTL="60", ResourceRecords=['"hello"'],
    )
    | {"DependsOn": "Zone"},
}  # fmt: skip

WALLED = {
    "Acl": of(
        "WAFv2::WebACL", Scope="REGIONAL", DefaultAction={"Allow": {}},
        VisibilityConfig={
            "SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "acl",
        },
    ),
    "Requests": of("Logs::LogGroup", LogGroupName="aws-waf-logs-rehearsed"),
    "Written": of(
        "WAFv2::LoggingConfiguration", ResourceArn=att("Acl", "Arn"),
        LogDestinationConfigs=[att("Requests", "Arn")],
    ),
    "User": of(
        "ElastiCache::User", UserId="gateway", UserName="gateway", Engine="valkey",
        AccessString="on ~* +@all", AuthenticationMode={"Type": "iam"},
    ),
    "Users": of(
        "ElastiCache::UserGroup", UserGroupId="gateways", Engine="valkey", UserIds=[ref("User")]
    ),
    "Cache": of(
        "ElastiCache::ServerlessCache", ServerlessCacheName="limits", Engine="valkey",
        UserGroupId=ref("Users"),
    ),
    "Api": of("ApiGateway::RestApi", Name="walled"),
    "Denied": of(
        "ApiGateway::GatewayResponse", RestApiId=ref("Api"), ResponseType="THROTTLED",
        StatusCode="429", ResponseTemplates={"application/json": '{"message": "slow down"}'},
    ),
}  # fmt: skip
