"""What CloudFormation's handlers look at, and change beside, when they make or remove a resource.

It calls them as whoever deploys. They are listed in AWS's own resource schemas, which the tests
hold against this; rows are as in `deployer_needs.py`. No name is a pattern: IAM's simulator, which
`penstock doctor` asks, takes none.
"""

from penstock.targets.aws.deployer_needs import Need

_VPC_SEEN: Need = ("ec2", "DescribeNetworkAcls DescribeVpcEncryptionControls", "*")
_NAMESPACES: tuple[Need, ...] = (
    ("ec2", "DescribeVpcs DescribeRegions", "*"),
    (
        "servicediscovery",
        "GetOperation GetNamespace ListServices ListTagsForResource UntagResource",
        "*",
    ),
    ("servicediscovery", "GetServiceAttributes DeleteServiceAttributes", "service/*"),
    (
        "route53",
        "AssociateVPCWithHostedZone ChangeResourceRecordSets",
        "arn:aws:route53:::hostedzone/*",
    ),
)
_BALANCED_SEEN: Need = (
    "elasticloadbalancing",
    "DescribeListenerAttributes DescribeTargetHealth DescribeCapacityReservation",
    "*",
)
_BALANCED_MORE: Need = (
    "elasticloadbalancing",
    "ModifyListenerAttributes RegisterTargets DeregisterTargets",
    "*/*",
)

_DATABASES_SEEN: Need = (
    "rds",
    "DescribeDBClusters DescribeDBClusterSnapshots DescribeDBClusterAutomatedBackups "
    "DescribeDBInstances DescribeDBInstanceAutomatedBackups DescribeDBSnapshots "
    "DescribeDBSubnetGroups DescribeDBParameterGroups DescribeDBEngineVersions DescribeEvents "
    "DescribeGlobalClusters",
    "*:*",
)

MORE: dict[str, tuple[Need, ...]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        ("application-autoscaling", "DescribeScheduledActions", "*"),
        (
            "cloudwatch",
            "PutMetricAlarm DeleteAlarms DescribeAlarms",
            "alarm:TargetTracking-*/STACK*",
        ),
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": (("cloudwatch", "GetMetricData", "*"),),
    "AWS::Budgets::Budget": (
        (
            "budgets",
            "ListTagsForResource TagResource UntagResource",
            "arn:aws:budgets::*:budget/*",
        ),
    ),
    "AWS::CloudWatch::Dashboard": (
        (
            "cloudwatch",
            "ListTagsForResource UntagResource",
            "arn:aws:cloudwatch::*:dashboard/STACK*",
        ),
    ),
    "AWS::EC2::Subnet": (_VPC_SEEN,),
    "AWS::EC2::SecurityGroup": (("ec2", "DescribeInstances", "*"),),
    "AWS::EC2::SubnetRouteTableAssociation": (
        ("ec2", "ReplaceRouteTableAssociation", "route-table/*"),
    ),
    "AWS::EC2::VPC": (_VPC_SEEN,),
    "AWS::EC2::VPCGatewayAttachment": (("ec2", "DescribeVpnGateways", "*"),),
    "AWS::ECR::Repository": (("ecr", "DeleteLifecyclePolicy UntagResource", "repository/*"),),
    "AWS::ECS::Cluster": (("ecs", "UntagResource", "cluster/STACK*"),),
    "AWS::ECS::Service": (("ecs", "StopServiceDeployment UntagResource", "service*/STACK*"),),
    "AWS::ECS::TaskDefinition": (("ecs", "ListTagsForResource UntagResource", "*"),),
    "AWS::EFS::AccessPoint": (("elasticfilesystem", "ListTagsForResource UntagResource", "*/*"),),
    "AWS::EFS::FileSystem": (
        ("elasticfilesystem", "ListTagsForResource UntagResource DeleteTags", "*/*"),
    ),
    "AWS::ElastiCache::ServerlessCache": (
        ("ec2", "CreateVpcEndpoint CreateTags", "*/*"),
        ("elasticache", "RemoveTagsFromResource", "serverlesscache*:STACK*"),
    ),
    "AWS::ElasticLoadBalancingV2::Listener": (_BALANCED_SEEN, _BALANCED_MORE),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (_BALANCED_SEEN,),
    "AWS::ElasticLoadBalancingV2::TargetGroup": (
        _BALANCED_SEEN,
        _BALANCED_MORE,
        ("ec2", "DescribeVpcs", "*"),
    ),
    "AWS::IAM::Role": (("iam", "ListAttachedRolePolicies ListRolePolicies", "role/STACK*"),),
    "AWS::Lambda::Function": (
        (
            "lambda",
            "GetFunctionCodeSigningConfig GetFunctionRecursionConfig GetFunctionScalingConfig "
            "GetFunctionConcurrency GetRuntimeManagementConfig",
            "function:STACK*",
        ),
    ),
    "AWS::Logs::LogGroup": (
        (
            "logs",
            "DescribeIndexPolicies GetDataProtectionPolicy UntagResource DeleteRetentionPolicy "
            "DisassociateKmsKey",
            "log-group:STACK*",
        ),
        ("logs", "DescribeResourcePolicies", "*"),
    ),
    "AWS::RDS::DBCluster": (
        ("ec2", "DescribeSecurityGroups", "*"),
        _DATABASES_SEEN,
        ("rds", "RemoveTagsFromResource", "*:STACK*"),
    ),
    "AWS::RDS::DBInstance": (
        _DATABASES_SEEN,
        ("rds", "RemoveTagsFromResource", "*:STACK*"),
        (
            "ec2",
            "DescribeAccountAttributes DescribeAvailabilityZones DescribeInternetGateways "
            "DescribeSecurityGroups DescribeSubnets DescribeVpcAttribute DescribeVpcs",
            "*",
        ),
    ),
    "AWS::RDS::DBSubnetGroup": (
        _DATABASES_SEEN,
        ("rds", "ListTagsForResource", "*:*"),
        ("rds", "RemoveTagsFromResource", "*:STACK*"),
    ),
    "AWS::Route53::RecordSet": (("route53", "ListHostedZones", "*"),),
    "AWS::S3::Bucket": (
        (
            "s3",
            "GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketAbac GetBucketAcl "
            "GetBucketCORS GetBucketLogging GetBucketMetadataTableConfiguration "
            "GetBucketNotification GetBucketObjectLockConfiguration GetBucketOwnershipControls "
            "GetBucketPublicAccessBlock GetBucketVersioning GetBucketWebsite "
            "GetEncryptionConfiguration GetIntelligentTieringConfiguration "
            "GetInventoryConfiguration GetLifecycleConfiguration GetMetricsConfiguration "
            "GetReplicationConfiguration ListTagsForResource TagResource",
            "STACK*",
        ),
    ),
    "AWS::SNS::Subscription": (("sns", "SetSubscriptionAttributes", "STACK*"),),
    "AWS::SNS::Topic": (
        (
            "sns",
            "ListSubscriptionsByTopic GetDataProtectionPolicy Subscribe Unsubscribe UntagResource",
            "STACK*",
        ),
    ),
    "AWS::SageMaker::EndpointConfig": (("sagemaker", "ListTags DeleteTags", "endpoint-config/*"),),
    "AWS::SageMaker::InferenceComponent": (
        ("sagemaker", "DeleteTags", "inference-component/STACK*"),
    ),
    "AWS::SageMaker::Model": (("sagemaker", "ListTags DeleteTags", "model/*"),),
    "AWS::ServiceDiscovery::PrivateDnsNamespace": _NAMESPACES,
    "AWS::ServiceDiscovery::Service": _NAMESPACES,
    "AWS::WAFv2::WebACLAssociation": (
        ("apigateway", "SetWebACL", "arn:aws:apigateway:*::/restapis/*/stages/*"),
        (
            "wafv2",
            "AssociateWebACL DisassociateWebACL GetWebACLForResource",
            "arn:aws:elasticloadbalancing:*:*:loadbalancer/app/*",
        ),
        (
            "elasticloadbalancing",
            "SetWebACL CreateWebACLAssociation DeleteWebACLAssociation GetLoadBalancerWebACL",
            "loadbalancer/app/*",
        ),
    ),
}
