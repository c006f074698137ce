"""A network of the deployment's own: two zones, private subnets, and a way out or none.

Public subnets and an internet gateway are there only for what needs them: a load balancer that is
reached from the internet, and a NAT gateway. Without NAT the private subnets reach AWS's services
alone, by interface endpoints.
"""

from dataclasses import dataclass
from ipaddress import ip_network

from troposphere import AWSObject, GetAtt, GetAZs, Ref, Select, Sub, ec2, logs

from penstock.targets.aws.roles import allow, role

INTERFACES = (
    "ecr.api",
    "ecr.dkr",
    "logs",
    "monitoring",
    "sagemaker.api",
    "sagemaker.runtime",
    "secretsmanager",
    "sts",
)
"""Services that private subnets speak to; S3 has a gateway endpoint, which is free."""
ZONES = ("A", "B")


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What is asked of a network that is made."""

    cidr: str
    has_nat: bool
    has_public: bool
    services: tuple[str, ...] = INTERFACES
    """What private subnets without NAT reach, beside S3."""


def network(plan: NetworkPlan, key: object | None) -> list[AWSObject]:
    """The network `Vpc` with `PrivateSubnetA` and `B`; its traffic is logged for 30 days."""
    blocks = [str(block) for block in ip_network(plan.cidr).subnets(prefixlen_diff=2)]
    vpc = ec2.VPC("Vpc", CidrBlock=plan.cidr, EnableDnsSupport=True, EnableDnsHostnames=True)
    made: list[AWSObject] = [vpc, *_logged(key)]
    for number, zone in enumerate(ZONES):
        made.append(_subnet(f"PrivateSubnet{zone}", blocks[number], number))
        made += _routes(f"PrivateSubnet{zone}", f"PrivateRoutes{zone}")
    if plan.has_public or plan.has_nat:
        made += _public(blocks[2:])
    if plan.has_nat:
        made += _nat()
    else:
        made += _interfaces(plan)
    tables = [Ref(f"PrivateRoutes{zone}") for zone in ZONES]
    made.append(
        ec2.VPCEndpoint(
            "S3Endpoint",
            VpcId=Ref(vpc),
            VpcEndpointType="Gateway",
            ServiceName=Sub("com.amazonaws.${AWS::Region}.s3"),
            RouteTableIds=tables,
        )
    )
    return made


def group(
    title: str, about: str, vpc: object, out: list[ec2.SecurityGroupRule]
) -> ec2.SecurityGroup:
    """A security group that lets nobody in and lets out what `out` says."""
    return ec2.SecurityGroup(
        title, GroupDescription=about, VpcId=vpc, SecurityGroupEgress=out or [NOTHING]
    )


def reached_group(
    title: str, about: str, vpc: object, who: ec2.SecurityGroupRule
) -> ec2.SecurityGroup:
    """A security group that lets nobody in but `who`, and lets nothing out."""
    return ec2.SecurityGroup(
        title,
        GroupDescription=about,
        VpcId=vpc,
        SecurityGroupIngress=[who],
        SecurityGroupEgress=[NOTHING],
    )


def entry(by: str, about: str, first: int, last: int) -> ec2.SecurityGroupRule:
    """A rule that lets the group `by` of the same stack in."""
    return ec2.SecurityGroupRule(
        IpProtocol="tcp",
        FromPort=first,
        ToPort=last,
        SourceSecurityGroupId=GetAtt(by, "GroupId"),
        Description=about,
    )


def outwards(port: int, about: str, cidr: str = "0.0.0.0/0") -> ec2.SecurityGroupRule:
    """A rule that lets out to one port."""
    return ec2.SecurityGroupRule(
        IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp=cidr, Description=about
    )


NOTHING = ec2.SecurityGroupRule(
    IpProtocol="icmp",
    FromPort=252,
    ToPort=86,
    CidrIp="255.255.255.255/32",
    Description="Nothing: a group without a rule would let everything out",
)
"""The rule of a group that lets nothing out; an empty list means everything to EC2."""


def way(title: str, by: str, to: str, port: int, last: int = 0) -> ec2.SecurityGroupEgress:
    """A rule that lets the group `by` of the same stack out to its group `to`."""
    return ec2.SecurityGroupEgress(
        title,
        GroupId=GetAtt(by, "GroupId"),
        DestinationSecurityGroupId=GetAtt(to, "GroupId"),
        IpProtocol="tcp",
        FromPort=port,
        ToPort=last or port,
        Description=title,
    )


def inwards(title: str, to: object, by: object, port: int, about: str) -> ec2.SecurityGroupIngress:
    """A rule that lets the group `by` into the group `to`."""
    return ec2.SecurityGroupIngress(
        title,
        GroupId=to,
        SourceSecurityGroupId=by,
        IpProtocol="tcp",
        FromPort=port,
        ToPort=port,
        Description=about,
    )


def _subnet(title: str, block: str, number: int) -> ec2.Subnet:
    zone = Select(number, GetAZs(""))
    return ec2.Subnet(title, VpcId=Ref("Vpc"), CidrBlock=block, AvailabilityZone=zone)


def _routes(subnet: str, table: str) -> list[AWSObject]:
    return [
        ec2.RouteTable(table, VpcId=Ref("Vpc")),
        ec2.SubnetRouteTableAssociation(
            f"{subnet}Routes", SubnetId=Ref(subnet), RouteTableId=Ref(table)
        ),
    ]


def _public(blocks: list[str]) -> list[AWSObject]:
    made: list[AWSObject] = [
        ec2.InternetGateway("InternetGateway"),
        ec2.VPCGatewayAttachment(
            "InternetAttachment", VpcId=Ref("Vpc"), InternetGatewayId=Ref("InternetGateway")
        ),
        ec2.RouteTable("PublicRoutes", VpcId=Ref("Vpc")),
        ec2.Route(
            "PublicRoute",
            DependsOn=["InternetAttachment"],
            RouteTableId=Ref("PublicRoutes"),
            DestinationCidrBlock="0.0.0.0/0",
            GatewayId=Ref("InternetGateway"),
        ),
    ]
    for number, zone in enumerate(ZONES):
        title = f"PublicSubnet{zone}"
        made.append(_subnet(title, blocks[number], number))
        made.append(
            ec2.SubnetRouteTableAssociation(
                f"{title}Routes", SubnetId=Ref(title), RouteTableId=Ref("PublicRoutes")
            )
        )
    return made


def _nat() -> list[AWSObject]:
    """One NAT gateway for both zones: half the price of two, and gone with its zone."""
    made: list[AWSObject] = [
        ec2.EIP("NatAddress", DependsOn=["InternetAttachment"], Domain="vpc"),
        ec2.NatGateway(
            "NatGateway",
            SubnetId=Ref("PublicSubnetA"),
            AllocationId=GetAtt("NatAddress", "AllocationId"),
        ),
    ]
    for zone in ZONES:
        made.append(
            ec2.Route(
                f"PrivateRoute{zone}",
                RouteTableId=Ref(f"PrivateRoutes{zone}"),
                DestinationCidrBlock="0.0.0.0/0",
                NatGatewayId=Ref("NatGateway"),
            )
        )
    return made


def _interfaces(plan: NetworkPlan) -> list[AWSObject]:
    inside = ec2.SecurityGroupRule(
        IpProtocol="tcp",
        FromPort=443,
        ToPort=443,
        CidrIp=plan.cidr,
        Description="HTTPS from the network",
    )
    own = ec2.SecurityGroup(
        "EndpointsGroup",
        GroupDescription="Endpoints of the services of AWS",
        VpcId=Ref("Vpc"),
        SecurityGroupIngress=[inside],
        SecurityGroupEgress=[NOTHING],
    )
    made: list[AWSObject] = [own]
    for service in plan.services:
        title = "".join(part.title() for part in service.split(".")) + "Endpoint"
        made.append(
            ec2.VPCEndpoint(
                title,
                VpcId=Ref("Vpc"),
                VpcEndpointType="Interface",
                ServiceName=Sub(f"com.amazonaws.${{AWS::Region}}.{service}"),
                PrivateDnsEnabled=True,
                SubnetIds=[Ref(f"PrivateSubnet{zone}") for zone in ZONES],
                SecurityGroupIds=[Ref(own)],
            )
        )
    return made


def _logged(key: object | None) -> list[AWSObject]:
    options = {} if key is None else {"KmsKeyId": key}
    kept = logs.LogGroup("FlowLogs", RetentionInDays=30, **options)
    writes = allow(
        ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        [GetAtt(kept, "Arn")],
    )
    writer = role("FlowLogsRole", "vpc-flow-logs.amazonaws.com", [writes])
    return [
        kept,
        writer,
        ec2.FlowLog(
            "FlowLog",
            ResourceId=Ref("Vpc"),
            ResourceType="VPC",
            TrafficType="ALL",
            LogGroupName=Ref(kept),
            DeliverLogsPermissionArn=GetAtt(writer, "Arn"),
            MaxAggregationInterval=600,
        ),
    ]
