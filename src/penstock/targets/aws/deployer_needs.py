"""What CloudFormation calls for each type of resource, as far as the templates use it.

Each row is a service, its actions and the resource that they are for. `STACK` is the stack's name,
`DEPLOYMENT` the deployment's. Where a service gives out ids of its own, the resource is any of its
kind; `*` stands alone where AWS knows no narrower one.
"""

Need = tuple[str, str, str]
_EC2_SEEN: Need = (
    "ec2",
    "DescribeAvailabilityZones DescribeVpcs DescribeVpcAttribute DescribeSubnets "
    "DescribeSecurityGroups DescribeSecurityGroupRules DescribeRouteTables "
    "DescribeInternetGateways DescribeNatGateways DescribeAddresses DescribeVpcEndpoints "
    "DescribeVpcEndpointServices DescribePrefixLists DescribeNetworkInterfaces DescribeFlowLogs "
    "DescribeAccountAttributes DescribeTags",
    "*",
)
_EC2_TAGGED: Need = ("ec2", "CreateTags DeleteTags", "*/*")
_SECRETS: Need = (
    "secretsmanager",
    "CreateSecret DeleteSecret DescribeSecret UpdateSecret GetSecretValue PutSecretValue "
    "TagResource UntagResource",
    "secret:*",
)
_RANDOM: Need = ("secretsmanager", "GetRandomPassword", "*")
_API: Need = ("apigateway", "GET POST PUT PATCH DELETE", "arn:aws:apigateway:*::/*")
_GROUP_RULES: Need = (
    "ec2",
    "AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress "
    "RevokeSecurityGroupEgress UpdateSecurityGroupRuleDescriptionsIngress "
    "UpdateSecurityGroupRuleDescriptionsEgress",
    "security-group*/*",
)
_BALANCED: tuple[Need, ...] = (
    (
        "elasticloadbalancing",
        "CreateListener DeleteListener ModifyListener CreateRule DeleteRule ModifyRule "
        "SetRulePriorities CreateLoadBalancer DeleteLoadBalancer ModifyLoadBalancerAttributes "
        "SetSecurityGroups SetSubnets SetWebACL CreateTargetGroup DeleteTargetGroup "
        "ModifyTargetGroup ModifyTargetGroupAttributes AddTags RemoveTags",
        "*/*",
    ),
    (
        "elasticloadbalancing",
        "DescribeListeners DescribeRules DescribeTags DescribeLoadBalancers "
        "DescribeLoadBalancerAttributes DescribeTargetGroups DescribeTargetGroupAttributes",
        "*",
    ),
)
_FILES: Need = (
    "elasticfilesystem",
    "CreateAccessPoint DeleteAccessPoint DescribeAccessPoints CreateFileSystem DeleteFileSystem "
    "DescribeFileSystems UpdateFileSystem PutBackupPolicy DescribeBackupPolicy "
    "DescribeLifecycleConfiguration DescribeFileSystemPolicy DescribeReplicationConfigurations "
    "CreateMountTarget DeleteMountTarget DescribeMountTargets DescribeMountTargetSecurityGroups "
    "ModifyMountTargetSecurityGroups TagResource",
    "*/*",
)
_WAF: Need = (
    "wafv2",
    "CreateWebACL DeleteWebACL GetWebACL UpdateWebACL AssociateWebACL DisassociateWebACL "
    "GetWebACLForResource TagResource UntagResource ListTagsForResource",
    "regional/*",
)


def _ec2(actions: str, *resources: str) -> tuple[Need, ...]:
    made = tuple(("ec2", actions, f"{resource}/*") for resource in resources)
    return (*made, _EC2_SEEN, _EC2_TAGGED)


NEEDS: dict[str, tuple[Need, ...]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        (
            "application-autoscaling",
            "RegisterScalableTarget DeregisterScalableTarget DescribeScalableTargets TagResource "
            "UntagResource ListTagsForResource",
            "*",
        ),
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": (
        (
            "application-autoscaling",
            "PutScalingPolicy DeleteScalingPolicy DescribeScalingPolicies",
            "*",
        ),
        (
            "cloudwatch",
            "PutMetricAlarm DeleteAlarms DescribeAlarms",
            "alarm:TargetTracking-*/STACK*",
        ),
    ),
    "AWS::Budgets::Budget": (
        (
            "budgets",
            "ModifyBudget ViewBudget",
            "arn:aws:budgets::*:budget/*",
        ),
    ),
    "AWS::CloudWatch::Alarm": (
        (
            "cloudwatch",
            "PutMetricAlarm DeleteAlarms DescribeAlarms TagResource UntagResource "
            "ListTagsForResource",
            "alarm:STACK*",
        ),
    ),
    "AWS::CloudWatch::Dashboard": (
        (
            "cloudwatch",
            "PutDashboard DeleteDashboards GetDashboard TagResource",
            "arn:aws:cloudwatch::*:dashboard/STACK*",
        ),
    ),
    "AWS::IAM::Role": (
        (
            "iam",
            "CreateRole DeleteRole GetRole GetRolePolicy PutRolePolicy DeleteRolePolicy "
            "UpdateAssumeRolePolicy TagRole UntagRole PassRole",
            "role/STACK*",
        ),
    ),
    "AWS::S3::Bucket": (
        (
            "s3",
            "CreateBucket DeleteBucket ListBucket ListBucketVersions GetObject PutObject "
            "DeleteObject DeleteObjectVersion "
            "GetBucketTagging PutBucketTagging PutEncryptionConfiguration "
            "PutBucketPublicAccessBlock PutBucketOwnershipControls PutLifecycleConfiguration",
            "STACK*",
        ),
    ),
    "AWS::S3::BucketPolicy": (
        (
            "s3",
            "GetBucketPolicy PutBucketPolicy DeleteBucketPolicy",
            "STACK*",
        ),
    ),
    "AWS::SNS::Topic": (
        (
            "sns",
            "CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes TagResource "
            "ListTagsForResource",
            "STACK*",
        ),
    ),
    "AWS::SNS::Subscription": (
        (
            "sns",
            "Subscribe Unsubscribe GetSubscriptionAttributes",
            "STACK*",
        ),
    ),
    "AWS::SageMaker::Endpoint": (
        (
            "sagemaker",
            "CreateEndpoint UpdateEndpoint DeleteEndpoint DescribeEndpoint AddTags ListTags "
            "DeleteTags UpdateEndpointWeightsAndCapacities InvokeEndpoint "
            "InvokeEndpointWithResponseStream InvokeEndpointAsync",
            "endpoint/STACK*",
        ),
        ("sagemaker", "ListInferenceComponents", "*"),
        (
            "logs",
            "DescribeLogStreams GetLogEvents FilterLogEvents DeleteLogGroup",
            "log-group:/aws/sagemaker/*",
        ),
        ("logs", "DescribeLogGroups", "log-group:*"),
    ),
    "AWS::SageMaker::EndpointConfig": (
        (
            "sagemaker",
            "CreateEndpointConfig DeleteEndpointConfig DescribeEndpointConfig AddTags",
            "endpoint-config/*",
        ),
    ),
    "AWS::SageMaker::InferenceComponent": (
        (
            "sagemaker",
            "CreateInferenceComponent UpdateInferenceComponent DeleteInferenceComponent "
            "DescribeInferenceComponent UpdateInferenceComponentRuntimeConfig AddTags",
            "inference-component/STACK*",
        ),
    ),
    "AWS::SageMaker::Model": (
        (
            "sagemaker",
            "CreateModel DeleteModel DescribeModel AddTags",
            "model/*",
        ),
    ),
    "AWS::ApiGateway::ApiKey": (_API,),
    "AWS::ApiGateway::Deployment": (_API,),
    "AWS::ApiGateway::Method": (_API,),
    "AWS::ApiGateway::Resource": (_API,),
    "AWS::ApiGateway::RestApi": (_API,),
    "AWS::ApiGateway::Stage": (_API,),
    "AWS::ApiGateway::UsagePlan": (_API,),
    "AWS::ApiGateway::UsagePlanKey": (_API,),
    "AWS::CertificateManager::Certificate": (
        ("acm", "RequestCertificate", "*"),
        (
            "acm",
            "DeleteCertificate DescribeCertificate AddTagsToCertificate ListTagsForCertificate",
            "certificate/*",
        ),
        ("route53", "ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/*"),
    ),
    "AWS::CodeBuild::Project": (
        (
            "codebuild",
            "CreateProject UpdateProject DeleteProject BatchGetProjects StartBuild BatchGetBuilds",
            "project/*",
        ),
    ),
    "AWS::EC2::EIP": _ec2(
        "AllocateAddress ReleaseAddress AssociateAddress DisassociateAddress", "elastic-ip"
    ),
    "AWS::EC2::FlowLog": (
        *_ec2("CreateFlowLogs DeleteFlowLogs", "vpc-flow-log", "vpc"),
        ("logs", "CreateLogDelivery DeleteLogDelivery", "*"),
    ),
    "AWS::EC2::InternetGateway": _ec2(
        "CreateInternetGateway DeleteInternetGateway", "internet-gateway"
    ),
    "AWS::EC2::NatGateway": _ec2(
        "CreateNatGateway DeleteNatGateway", "natgateway", "subnet", "elastic-ip"
    ),
    "AWS::EC2::Route": _ec2("CreateRoute DeleteRoute ReplaceRoute", "route-table"),
    "AWS::EC2::RouteTable": _ec2("CreateRouteTable DeleteRouteTable", "route-table", "vpc"),
    "AWS::EC2::SecurityGroup": (
        *_ec2("CreateSecurityGroup DeleteSecurityGroup", "security-group", "vpc"),
        _GROUP_RULES,
    ),
    "AWS::EC2::SecurityGroupEgress": (_GROUP_RULES, _EC2_SEEN),
    "AWS::EC2::SecurityGroupIngress": (_GROUP_RULES, _EC2_SEEN),
    "AWS::EC2::Subnet": _ec2("CreateSubnet DeleteSubnet ModifySubnetAttribute", "subnet", "vpc"),
    "AWS::EC2::SubnetRouteTableAssociation": _ec2(
        "AssociateRouteTable DisassociateRouteTable", "route-table", "subnet"
    ),
    "AWS::EC2::VPC": _ec2("CreateVpc DeleteVpc ModifyVpcAttribute", "vpc"),
    "AWS::EC2::VPCEndpoint": (
        *_ec2(
            "CreateVpcEndpoint DeleteVpcEndpoints ModifyVpcEndpoint",
            *("vpc-endpoint", "vpc", "subnet", "security-group", "route-table"),
        ),
        ("route53", "AssociateVPCWithHostedZone", "arn:aws:route53:::hostedzone/*"),
    ),
    "AWS::EC2::VPCGatewayAttachment": _ec2(
        "AttachInternetGateway DetachInternetGateway", "internet-gateway", "vpc"
    ),
    "AWS::ECR::Repository": (
        ("ecr", "GetAuthorizationToken", "*"),
        (
            "ecr",
            "CreateRepository DeleteRepository DescribeRepositories DescribeImages ListImages "
            "BatchDeleteImage PutLifecyclePolicy GetLifecyclePolicy PutImageScanningConfiguration "
            "PutImageTagMutability SetRepositoryPolicy GetRepositoryPolicy "
            "DeleteRepositoryPolicy TagResource ListTagsForResource BatchCheckLayerAvailability "
            "InitiateLayerUpload UploadLayerPart CompleteLayerUpload PutImage BatchGetImage "
            "GetDownloadUrlForLayer",
            "repository/*",
        ),
    ),
    "AWS::ECS::Cluster": (
        (
            "ecs",
            "CreateCluster DeleteCluster DescribeClusters UpdateCluster UpdateClusterSettings "
            "TagResource ListTagsForResource",
            "cluster/STACK*",
        ),
        ("ecs", "CreateCluster", "*"),
    ),
    "AWS::ECS::Service": (
        (
            "ecs",
            "CreateService UpdateService DeleteService DescribeServices TagResource "
            "ListTagsForResource DescribeServiceDeployments ListServiceDeployments",
            "service*/STACK*",
        ),
    ),
    "AWS::ECS::TaskDefinition": (
        ("ecs", "RegisterTaskDefinition DeregisterTaskDefinition DescribeTaskDefinition", "*"),
        ("ecs", "TagResource", "task-definition/*"),
    ),
    "AWS::EFS::AccessPoint": (_FILES,),
    "AWS::EFS::FileSystem": (_FILES,),
    "AWS::EFS::MountTarget": (
        _FILES,
        ("ec2", "CreateNetworkInterface DeleteNetworkInterface", "*/*"),
        _EC2_SEEN,
    ),
    "AWS::ElastiCache::ServerlessCache": (
        (
            "elasticache",
            "CreateServerlessCache DeleteServerlessCache DescribeServerlessCaches "
            "ModifyServerlessCache AddTagsToResource ListTagsForResource",
            "serverlesscache*:STACK*",
        ),
    ),
    "AWS::ElasticLoadBalancingV2::Listener": _BALANCED,
    "AWS::ElasticLoadBalancingV2::ListenerRule": _BALANCED,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (*_BALANCED, _EC2_SEEN),
    "AWS::ElasticLoadBalancingV2::TargetGroup": _BALANCED,
    "AWS::KMS::Alias": (
        ("kms", "CreateAlias DeleteAlias UpdateAlias", "alias/STACK"),
        ("kms", "CreateAlias DeleteAlias UpdateAlias", "key/*"),
        ("kms", "ListAliases", "*"),
    ),
    "AWS::KMS::Key": (
        ("kms", "CreateKey", "*"),
        (
            "kms",
            "DescribeKey EnableKeyRotation GetKeyRotationStatus GetKeyPolicy PutKeyPolicy "
            "ScheduleKeyDeletion TagResource UntagResource ListResourceTags CreateGrant Decrypt "
            "Encrypt GenerateDataKey GenerateDataKeyWithoutPlaintext RetireGrant",
            "key/*",
        ),
    ),
    "AWS::Lambda::Function": (
        (
            "lambda",
            "CreateFunction DeleteFunction GetFunction GetFunctionConfiguration "
            "UpdateFunctionCode UpdateFunctionConfiguration TagResource UntagResource ListTags",
            "function:STACK*",
        ),
    ),
    "AWS::Lambda::Permission": (
        ("lambda", "AddPermission RemovePermission GetPolicy", "function:STACK*"),
    ),
    "AWS::Logs::LogGroup": (
        (
            "logs",
            "CreateLogGroup DeleteLogGroup PutRetentionPolicy AssociateKmsKey TagResource "
            "ListTagsForResource",
            "log-group:STACK*",
        ),
        ("logs", "DescribeLogGroups", "log-group:*"),
    ),
    "AWS::RDS::DBCluster": (
        (
            "rds",
            "CreateDBCluster DeleteDBCluster ModifyDBCluster CreateDBClusterSnapshot "
            "AddTagsToResource ListTagsForResource",
            "*:STACK*",
        ),
        ("rds", "DescribeDBClusters DescribeDBInstances DescribeDBSubnetGroups", "*:*"),
    ),
    "AWS::RDS::DBInstance": (
        (
            "rds",
            "CreateDBInstance DeleteDBInstance ModifyDBInstance AddTagsToResource",
            "*:STACK*",
        ),
    ),
    "AWS::RDS::DBSubnetGroup": (
        (
            "rds",
            "CreateDBSubnetGroup DeleteDBSubnetGroup ModifyDBSubnetGroup AddTagsToResource",
            "*:STACK*",
        ),
    ),
    "AWS::Route53::RecordSet": (
        (
            "route53",
            "ChangeResourceRecordSets ListResourceRecordSets GetHostedZone",
            "arn:aws:route53:::hostedzone/*",
        ),
        ("route53", "GetChange", "arn:aws:route53:::change/*"),
    ),
    "AWS::SecretsManager::Secret": (_SECRETS, _RANDOM),
    "AWS::ServiceDiscovery::PrivateDnsNamespace": (
        (
            "servicediscovery",
            "CreatePrivateDnsNamespace GetOperation ListTagsForResource TagResource",
            "*",
        ),
        ("servicediscovery", "DeleteNamespace GetNamespace", "namespace/*"),
        (
            "route53",
            "CreateHostedZone DeleteHostedZone GetHostedZone ListHostedZonesByName",
            "*",
        ),
    ),
    "AWS::ServiceDiscovery::Service": (
        (
            "servicediscovery",
            "CreateService DeleteService GetService UpdateService TagResource",
            "*/*",
        ),
    ),
    "AWS::WAFv2::WebACL": (_WAF,),
    "AWS::WAFv2::WebACLAssociation": (
        _WAF,
        ("wafv2", "AssociateWebACL DisassociateWebACL", "arn:aws:apigateway:*::/restapis/*"),
    ),
}
