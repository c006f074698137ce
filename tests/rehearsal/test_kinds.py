"""Every resource type that the stand-in offers can be made, asked for and deleted."""

import pytest
from tests.rehearsal.account import ROLE, Account, failures
from tests.rehearsal.more_kinds import FILES, NAMED, WALLED
from tests.rehearsal.writing import NOTHING, allow, att, of, ref

from penstock.rehearsal.cloudformation.catalogue import KINDS

NETWORK = {
    "Vpc": of("EC2::VPC", CidrBlock="10.0.0.0/16", EnableDnsSupport=True, EnableDnsHostnames=True),
    "SubnetA": of(
        "EC2::Subnet", VpcId=ref("Vpc"), CidrBlock="10.0.0.0/24", AvailabilityZone="us-east-1a",
        MapPublicIpOnLaunch=True,
    ),
    "SubnetB": of(
        "EC2::Subnet", VpcId=ref("Vpc"), CidrBlock="10.0.1.0/24", AvailabilityZone="us-east-1b"
    ),
    "Gateway": of("EC2::InternetGateway"),
    "Attachment": of(
        "EC2::VPCGatewayAttachment", VpcId=ref("Vpc"), InternetGatewayId=ref("Gateway")
    ),
    "Table": of("EC2::RouteTable", VpcId=ref("Vpc")),
    "Route": of(
        "EC2::Route", RouteTableId=ref("Table"), DestinationCidrBlock="0.0.0.0/0",
        GatewayId=ref("Gateway"),
    )
    | {"DependsOn": "Attachment"},
    "Association": of(
        "EC2::SubnetRouteTableAssociation", RouteTableId=ref("Table"), SubnetId=ref("SubnetA")
    ),
    "Group": of(
        "EC2::SecurityGroup", GroupDescription="the front", VpcId=ref("Vpc"),
        SecurityGroupIngress=[
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "0.0.0.0/0"}
        ],
    ),
    "Inner": of("EC2::SecurityGroup", GroupDescription="inside", VpcId=ref("Vpc")),
    "Ingress": of(
        "EC2::SecurityGroupIngress", GroupId=att("Inner", "GroupId"), IpProtocol="tcp",
        FromPort=8080, ToPort=8080, SourceSecurityGroupId=att("Group", "GroupId"),
    ),
    "Egress": of(
        "EC2::SecurityGroupEgress", GroupId=att("Inner", "GroupId"), IpProtocol="tcp",
        FromPort=443, ToPort=443, CidrIp="10.0.0.0/16",
    ),
    "Endpoint": of(
        "EC2::VPCEndpoint", VpcId=ref("Vpc"), ServiceName="com.amazonaws.us-east-1.s3",
        VpcEndpointType="Gateway", RouteTableIds=[ref("Table")],
    ),
    "Address": of("EC2::EIP", Domain="vpc"),
    "Nat": of(
        "EC2::NatGateway", SubnetId=ref("SubnetA"), AllocationId=att("Address", "AllocationId")
    ),
    "Template": of(
        "EC2::LaunchTemplate", LaunchTemplateData={"InstanceType": "t3.micro", "ImageId": "ami-1"}
    ),
    "Machine": of(
        "EC2::Instance", ImageId="ami-12c6146b", InstanceType="t3.micro", SubnetId=ref("SubnetA"),
        SecurityGroupIds=[att("Group", "GroupId")],
    ),
}  # fmt: skip

BALANCED = {name: NETWORK[name] for name in ("Vpc", "SubnetA", "SubnetB", "Group")} | {
    "Balancer": of(
        "ElasticLoadBalancingV2::LoadBalancer", Subnets=[ref("SubnetA"), ref("SubnetB")],
        SecurityGroups=[att("Group", "GroupId")], Scheme="internet-facing", Type="application",
        LoadBalancerAttributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "300"}],
    ),
    "Targets": of(
        "ElasticLoadBalancingV2::TargetGroup", Port=8000, Protocol="HTTP", VpcId=ref("Vpc"),
        TargetType="ip", HealthCheckPath="/health",
        TargetGroupAttributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "60"}],
    ),
    "Certificate": of("CertificateManager::Certificate", DomainName="chat.example.com"),
    "Listener": of(
        "ElasticLoadBalancingV2::Listener", LoadBalancerArn=ref("Balancer"), Port=443,
        Protocol="HTTPS", Certificates=[{"CertificateArn": ref("Certificate")}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": ref("Targets")}],
    ),
    "Rule": of(
        "ElasticLoadBalancingV2::ListenerRule", ListenerArn=ref("Listener"), Priority=1,
        Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/v1/*"]}}],
        Actions=[{"Type": "forward", "TargetGroupArn": ref("Targets")}],
    ),
    "Role": ROLE,
    "Repository": of(
        "ECR::Repository", ImageScanningConfiguration={"ScanOnPush": True}, EmptyOnDelete=True
    ),
    "Project": of(
        "CodeBuild::Project", ServiceRole=att("Role", "Arn"),
        Artifacts={"Type": "NO_ARTIFACTS"},
        Environment={
            "Type": "LINUX_CONTAINER", "ComputeType": "BUILD_GENERAL1_SMALL",
            "Image": "aws/codebuild/standard:7.0", "PrivilegedMode": True,
        },
        Source={"Type": "S3", "Location": "bucket/source.zip"},
    ),
    "Cluster": of(
        "ECS::Cluster", ClusterSettings=[{"Name": "containerInsights", "Value": "enabled"}]
    ),
    "Task": of(
        "ECS::TaskDefinition", Cpu="1024", Memory="2048", NetworkMode="awsvpc",
        RequiresCompatibilities=["FARGATE"], ExecutionRoleArn=att("Role", "Arn"),
        ContainerDefinitions=[
            {
                "Name": "gateway", "Image": "gateway:1", "Essential": True,
                "PortMappings": [{"ContainerPort": 8000}],
                "Environment": [{"Name": "A", "Value": "b"}],
            }
        ],
    ),
    "Service": of(
        "ECS::Service", Cluster=ref("Cluster"), TaskDefinition=ref("Task"), DesiredCount=1,
        LaunchType="FARGATE",
        NetworkConfiguration={
            "AwsvpcConfiguration": {
                "Subnets": [ref("SubnetA")], "SecurityGroups": [att("Group", "GroupId")],
                "AssignPublicIp": "ENABLED",
            }
        },
        LoadBalancers=[
            {"ContainerName": "gateway", "ContainerPort": 8000, "TargetGroupArn": ref("Targets")}
        ],
    )
    | {"DependsOn": ["Listener"]},
}  # fmt: skip

WATCHED = {
    "Bucket": of("S3::Bucket", VersioningConfiguration={"Status": "Enabled"}),
    "Rights": of(
        "S3::BucketPolicy", Bucket=ref("Bucket"),
        PolicyDocument={
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}],
        },
    ),
    "Key": of("KMS::Key", KeyPolicy={"Statement": []}, EnableKeyRotation=True),
    "Alias": of("KMS::Alias", AliasName="alias/rehearsed", TargetKeyId=ref("Key")),
    "Secret": of("SecretsManager::Secret", GenerateSecretString={"PasswordLength": 24}),
    "Parameter": of("SSM::Parameter", Type="String", Value="one"),
    "Group": of("Logs::LogGroup", RetentionInDays=30),
    "Filter": of(
        "Logs::MetricFilter", LogGroupName=ref("Group"), FilterPattern="ERROR",
        MetricTransformations=[
            {"MetricName": "Errors", "MetricNamespace": "Penstock", "MetricValue": "1"}
        ],
    ),
    "Topic": of("SNS::Topic", DisplayName="alarms"),
    "TopicRights": of(
        "SNS::TopicPolicy", Topics=[ref("Topic")], PolicyDocument=NOTHING
    ),
    "Mail": of(
        "SNS::Subscription", TopicArn=ref("Topic"), Protocol="email", Endpoint="me@example.com"
    ),
    "Alarm": of(
        "CloudWatch::Alarm", Namespace="AWS/SageMaker", MetricName="Invocation5XXErrors",
        Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanThreshold", AlarmActions=[ref("Topic")],
        Dimensions=[{"Name": "EndpointName", "Value": "x"}], TreatMissingData="notBreaching",
    ),
    "Both": of("CloudWatch::CompositeAlarm", AlarmRule={"Fn::Sub": "ALARM(\"${Alarm}\")"}),
    "Dashboard": of("CloudWatch::Dashboard", DashboardBody='{"widgets": []}'),
    "Nightly": of(
        "Events::Rule", ScheduleExpression="rate(1 day)",
        Targets=[{"Id": "t", "Arn": ref("Topic")}],
    ),
    "Schedule": of(
        "Scheduler::Schedule", ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": ref("Topic"), "RoleArn": att("Role", "Arn")},
    ),
    "Budget": of(
        "Budgets::Budget",
        Budget={
            "BudgetType": "COST", "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": 100, "Unit": "USD"},
        },
        NotificationsWithSubscribers=[
            {
                "Notification": {
                    "NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN",
                    "Threshold": 80,
                },
                "Subscribers": [{"SubscriptionType": "EMAIL", "Address": "me@example.com"}],
            }
        ],
    ),
    "Role": ROLE,
    "Policy": of(
        "IAM::Policy", PolicyName="more", Roles=[ref("Role")], PolicyDocument=allow("s3:GetObject")
    ),
    "Managed": of(
        "IAM::ManagedPolicy", Roles=[ref("Role")], PolicyDocument=allow("s3:ListBucket")
    ),
    "Profile": of("IAM::InstanceProfile", Roles=[ref("Role")]),
}  # fmt: skip

HELD = {name: NETWORK[name] for name in ("Vpc", "SubnetA", "SubnetB", "Group")} | {
    "Subnets": of(
        "RDS::DBSubnetGroup", DBSubnetGroupDescription="db",
        SubnetIds=[ref("SubnetA"), ref("SubnetB")],
    ),
    "Cluster": of(
        "RDS::DBCluster", Engine="aurora-postgresql", DBSubnetGroupName=ref("Subnets"),
        MasterUsername="penstock", ManageMasterUserPassword=True, DatabaseName="penstock",
        ServerlessV2ScalingConfiguration={"MinCapacity": 0.5, "MaxCapacity": 2},
    ),
    "Instance": of(
        "RDS::DBInstance", Engine="aurora-postgresql", DBClusterIdentifier=ref("Cluster"),
        DBInstanceClass="db.serverless",
    ),
    "Cache": of(
        "ElastiCache::ServerlessCache", ServerlessCacheName="counters", Engine="valkey",
        SubnetIds=[ref("SubnetA"), ref("SubnetB")], SecurityGroupIds=[att("Group", "GroupId")],
    ),
}  # fmt: skip

HANDLER = "def handler(event, context):\n    return {'statusCode': 200, 'body': event['body']}\n"
FRONTED = {
    "Role": ROLE,
    "Function": of(
        "Lambda::Function", Runtime="python3.12", Handler="index.handler",
        Role=att("Role", "Arn"), Code={"ZipFile": HANDLER}, Timeout=60, MemorySize=512,
        Environment={"Variables": {"ENDPOINT_NAME": "x"}},
    ),
    "Invoke": of("Lambda::EventInvokeConfig", FunctionName=ref("Function"), Qualifier="$LATEST",
                 MaximumRetryAttempts=0),
    "Bucket": of("S3::Bucket"),
    "Api": of("ApiGateway::RestApi", Name="front"),
    "Validator": of(
        "ApiGateway::RequestValidator", RestApiId=ref("Api"), ValidateRequestBody=True
    ),
    "Path": of(
        "ApiGateway::Resource", RestApiId=ref("Api"), ParentId=att("Api", "RootResourceId"),
        PathPart="invoke",
    ),
    "Method": of(
        "ApiGateway::Method", RestApiId=ref("Api"), ResourceId=ref("Path"), HttpMethod="POST",
        AuthorizationType="NONE", ApiKeyRequired=True,
        Integration={
            "Type": "AWS_PROXY", "IntegrationHttpMethod": "POST",
            "Uri": {
                "Fn::Sub": "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
                "${Function.Arn}/invocations"
            },
        },
    ),
    "Permission": of(
        "Lambda::Permission", FunctionName=ref("Function"), Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    ),
    "Deployment": of("ApiGateway::Deployment", RestApiId=ref("Api")) | {"DependsOn": "Method"},
    "Account": of("ApiGateway::Account", CloudWatchRoleArn=att("Role", "Arn")),
    "Stage": of(
        "ApiGateway::Stage", RestApiId=ref("Api"), DeploymentId=ref("Deployment"),
        StageName="prod",
        MethodSettings=[{"ResourcePath": "/*", "HttpMethod": "*", "ThrottlingBurstLimit": 100}],
    ),
    "Key": of("ApiGateway::ApiKey", Enabled=True),
    "Plan": of(
        "ApiGateway::UsagePlan",
        ApiStages=[{"ApiId": ref("Api"), "Stage": ref("Stage")}],
        Throttle={"RateLimit": 50, "BurstLimit": 100}, Quota={"Limit": 10000, "Period": "DAY"},
    ),
    "PlanKey": of(
        "ApiGateway::UsagePlanKey", KeyId=ref("Key"), KeyType="API_KEY", UsagePlanId=ref("Plan")
    ),
    "Acl": of(
        "WAFv2::WebACL", Scope="REGIONAL", DefaultAction={"Allow": {}},
        VisibilityConfig={
            "SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "acl",
        },
    ),
    "Shield": of(
        "WAFv2::WebACLAssociation", WebACLArn=att("Acl", "Arn"),
        ResourceArn={"Fn::Sub": "arn:aws:apigateway:${AWS::Region}::/restapis/${Api}/stages/prod"},
    )
    | {"DependsOn": "Stage"},
}  # fmt: skip

STACKS = {
    "network": NETWORK,
    "balanced": BALANCED,
    "watched": WATCHED,
    "held": HELD,
    "fronted": FRONTED,
    "files": FILES,
    "named": NAMED,
    "walled": WALLED,
}


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_of_all_kinds_comes_and_goes(aws: Account, name: str) -> None:
    before = aws.order("inventory", method="GET")
    stack = aws.deploy(
        f"k-{name}", {"Resources": STACKS[name]}, Tags=[{"Key": "penstock:x", "Value": "y"}]
    )
    assert failures(aws, stack) == []
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    gone = aws.destroy(f"k-{name}")
    assert gone["StackStatus"] == "DELETE_COMPLETE", gone
    assert aws.order("inventory", method="GET") == before


def test_every_kind_is_tried() -> None:
    tried = {each["Type"] for stack in STACKS.values() for each in stack.values()}
    elsewhere = ("AWS::SageMaker::", "AWS::ApplicationAutoScaling::", "AWS::Lambda::LayerVersion")
    assert {kind for kind in KINDS if not kind.startswith(elsewhere)} - tried == set()
