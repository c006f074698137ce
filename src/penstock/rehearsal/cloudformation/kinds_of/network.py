"""EC2: networks, gateways, security groups, instances."""

import json

from penstock.rehearsal.cloudformation.kinds import Api, Properties, Scene
from penstock.rehearsal.cloudformation.records import Made

OPEN = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
RULE = ("IpProtocol", "FromPort", "ToPort")
PEERS = {
    "CidrIp": ("IpRanges", "CidrIp"),
    "SourceSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "DestinationSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "SourcePrefixListId": ("PrefixListIds", "PrefixListId"),
    "DestinationPrefixListId": ("PrefixListIds", "PrefixListId"),
}


def _settle_vpc(scene: Scene, made: Made) -> None:
    ec2 = scene.client("ec2")
    for name in ("EnableDnsSupport", "EnableDnsHostnames"):
        if name in made.properties:
            value = str(made.properties[name]).lower() == "true"
            ec2.modify_vpc_attribute(VpcId=made.physical_id, **{name: {"Value": value}})


def _settle_subnet(scene: Scene, made: Made) -> None:
    if "MapPublicIpOnLaunch" in made.properties:
        value = str(made.properties["MapPublicIpOnLaunch"]).lower() == "true"
        scene.client("ec2").modify_subnet_attribute(
            SubnetId=made.physical_id, MapPublicIpOnLaunch={"Value": value}
        )


def _attach_gateway(scene: Scene, made: Made) -> None:
    scene.client("ec2").attach_internet_gateway(
        InternetGatewayId=made.properties["InternetGatewayId"], VpcId=made.properties["VpcId"]
    )


def _detach_gateway(scene: Scene, made: Made) -> None:
    scene.client("ec2").detach_internet_gateway(
        InternetGatewayId=made.properties["InternetGatewayId"], VpcId=made.properties["VpcId"]
    )


def _permission(rule: Properties) -> Properties:
    told: Properties = {"IpProtocol": str(rule["IpProtocol"])}
    for name in RULE[1:]:
        if name in rule:
            told[name] = int(rule[name])
    for name, (group, key) in PEERS.items():
        if name in rule:
            peer = {key: rule[name]}
            if "Description" in rule:
                peer["Description"] = rule["Description"]
            told[group] = [peer]
    return told


def _settle_group(scene: Scene, made: Made) -> None:
    ec2, group = scene.client("ec2"), made.physical_id
    now = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    inwards = [_permission(rule) for rule in made.properties.get("SecurityGroupIngress", ())]
    outwards = [_permission(rule) for rule in made.properties.get("SecurityGroupEgress", ())]
    if now["IpPermissions"]:
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=now["IpPermissions"])
    if inwards:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=inwards)
    if now["IpPermissionsEgress"]:
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=now["IpPermissionsEgress"])
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=outwards or [OPEN])


def _allow_in(scene: Scene, made: Made) -> None:
    scene.client("ec2").authorize_security_group_ingress(
        GroupId=made.properties["GroupId"], IpPermissions=[_permission(made.properties)]
    )


def _forbid_in(scene: Scene, made: Made) -> None:
    scene.client("ec2").revoke_security_group_ingress(
        GroupId=made.properties["GroupId"], IpPermissions=[_permission(made.properties)]
    )


def _allow_out(scene: Scene, made: Made) -> None:
    scene.client("ec2").authorize_security_group_egress(
        GroupId=made.properties["GroupId"], IpPermissions=[_permission(made.properties)]
    )


def _forbid_out(scene: Scene, made: Made) -> None:
    scene.client("ec2").revoke_security_group_egress(
        GroupId=made.properties["GroupId"], IpPermissions=[_permission(made.properties)]
    )


def _drop_route(scene: Scene, made: Made) -> None:
    scene.client("ec2").delete_route(
        RouteTableId=made.properties["RouteTableId"],
        DestinationCidrBlock=made.properties["DestinationCidrBlock"],
    )


def _flowing(_: Scene, wish: Properties) -> Properties:
    rest = {name: value for name, value in wish.items() if name != "ResourceId"}
    return {**rest, "ResourceIds": [wish["ResourceId"]]}


def _amend_endpoint(scene: Scene, made: Made, wish: Properties) -> None:
    changes: Properties = {"VpcEndpointId": made.physical_id}
    if "PolicyDocument" in wish:
        policy = wish["PolicyDocument"]
        changes["PolicyDocument"] = policy if isinstance(policy, str) else json.dumps(policy)
    if "PrivateDnsEnabled" in wish:
        changes["PrivateDnsEnabled"] = str(wish["PrivateDnsEnabled"]).lower() == "true"
    for name, key in (("SubnetIds", "Subnet"), ("RouteTableIds", "RouteTable")):
        old, new = (set(each.get(name, ())) for each in (made.properties, wish))
        for word, ids in (("Add", new - old), ("Remove", old - new)):
            if ids:
                changes[f"{word}{key}Ids"] = sorted(ids)
    scene.client("ec2").modify_vpc_endpoint(**changes)


def _amend_route(scene: Scene, made: Made, wish: Properties) -> None:
    names = (
        *("RouteTableId", "DestinationCidrBlock", "GatewayId", "NatGatewayId"),
        *("TransitGatewayId", "VpcPeeringConnectionId", "NetworkInterfaceId"),
    )
    scene.client("ec2").replace_route(**{name: wish[name] for name in names if name in wish})


def _one_instance(_: Scene, wish: Properties) -> Properties:
    return {**wish, "MinCount": 1, "MaxCount": 1}


def _describe_instance(scene: Scene, made: Made) -> None:
    found = scene.client("ec2").describe_instances(InstanceIds=[made.physical_id])
    one = found["Reservations"][0]["Instances"][0]
    made.attributes |= {
        "PrivateIp": one.get("PrivateIpAddress", ""),
        "PublicIp": one.get("PublicIpAddress", ""),
        "PublicDnsName": one.get("PublicDnsName", ""),
        "PrivateDnsName": one.get("PrivateDnsName", ""),
    }


KINDS = {
    "AWS::EC2::VPC": Api(
        "ec2", "create_vpc", "Vpc.VpcId", {"VpcId": "Vpc.VpcId", "CidrBlock": "Vpc.CidrBlock"},
        delete="delete_vpc", delete_by={"VpcId": "@ref"}, tag_type="vpc",
        apart=frozenset({"EnableDnsSupport", "EnableDnsHostnames"}), after=_settle_vpc,
        update_apart_only=True,
    ),
    "AWS::EC2::Subnet": Api(
        "ec2", "create_subnet", "Subnet.SubnetId",
        {"SubnetId": "Subnet.SubnetId", "AvailabilityZone": "Subnet.AvailabilityZone"},
        delete="delete_subnet", delete_by={"SubnetId": "@ref"}, tag_type="subnet",
        apart=frozenset({"MapPublicIpOnLaunch"}), after=_settle_subnet, update_apart_only=True,
    ),
    "AWS::EC2::InternetGateway": Api(
        "ec2", "create_internet_gateway", "InternetGateway.InternetGatewayId",
        {"InternetGatewayId": "InternetGateway.InternetGatewayId"},
        delete="delete_internet_gateway", delete_by={"InternetGatewayId": "@ref"},
        tag_type="internet-gateway",
    ),
    "AWS::EC2::VPCGatewayAttachment": Api(
        "ec2", "", "=VpcId", after=_attach_gateway, before_delete=_detach_gateway,
    ),
    "AWS::EC2::RouteTable": Api(
        "ec2", "create_route_table", "RouteTable.RouteTableId",
        {"RouteTableId": "RouteTable.RouteTableId"},
        delete="delete_route_table", delete_by={"RouteTableId": "@ref"}, tag_type="route-table",
    ),
    "AWS::EC2::Route": Api(
        "ec2", "create_route", "=RouteTableId", tags="", amend=_amend_route,
        before_delete=_drop_route,
    ),
    "AWS::EC2::SubnetRouteTableAssociation": Api(
        "ec2", "associate_route_table", "AssociationId", {"Id": "AssociationId"}, tags="",
        delete="disassociate_route_table", delete_by={"AssociationId": "@ref"},
    ),
    "AWS::EC2::SecurityGroup": Api(
        "ec2", "create_security_group", "GroupId", {"GroupId": "GroupId", "Id": "GroupId"},
        delete="delete_security_group", delete_by={"GroupId": "@ref"}, tag_type="security-group",
        name="GroupName", names={"GroupDescription": "Description"},
        apart=frozenset({"SecurityGroupIngress", "SecurityGroupEgress"}), after=_settle_group,
        update_apart_only=True,
    ),
    "AWS::EC2::SecurityGroupIngress": Api(
        "ec2", "", "=GroupId", after=_allow_in, before_delete=_forbid_in,
    ),
    "AWS::EC2::SecurityGroupEgress": Api(
        "ec2", "", "=GroupId", after=_allow_out, before_delete=_forbid_out,
    ),
    "AWS::EC2::VPCEndpoint": Api(
        "ec2", "create_vpc_endpoint", "VpcEndpoint.VpcEndpointId",
        {"Id": "VpcEndpoint.VpcEndpointId"}, tag_type="vpc-endpoint",
        delete="delete_vpc_endpoints", delete_by={"VpcEndpointIds": "[@ref"},
        amend=_amend_endpoint,
    ),
    "AWS::EC2::FlowLog": Api(
        "ec2", "create_flow_logs", "FlowLogIds.0", {"Id": "FlowLogIds.0"},
        tag_type="vpc-flow-log", prepare=_flowing,
        delete="delete_flow_logs", delete_by={"FlowLogIds": "[@ref"},
    ),
    "AWS::EC2::EIP": Api(
        "ec2", "allocate_address", "PublicIp",
        {"AllocationId": "AllocationId", "PublicIp": "PublicIp"}, tag_type="elastic-ip",
        delete="release_address", delete_by={"AllocationId": "=AllocationId"},
    ),
    "AWS::EC2::NatGateway": Api(
        "ec2", "create_nat_gateway", "NatGateway.NatGatewayId",
        {"NatGatewayId": "NatGateway.NatGatewayId"}, tag_type="natgateway",
        delete="delete_nat_gateway", delete_by={"NatGatewayId": "@ref"},
    ),
    "AWS::EC2::LaunchTemplate": Api(
        "ec2", "create_launch_template", "LaunchTemplate.LaunchTemplateId",
        {
            "LaunchTemplateId": "LaunchTemplate.LaunchTemplateId",
            "LatestVersionNumber": "LaunchTemplate.LatestVersionNumber",
            "DefaultVersionNumber": "LaunchTemplate.DefaultVersionNumber",
        },
        name="LaunchTemplateName", tags="",
        delete="delete_launch_template", delete_by={"LaunchTemplateId": "@ref"},
    ),
    "AWS::EC2::Instance": Api(
        "ec2", "run_instances", "Instances.0.InstanceId", {"InstanceId": "Instances.0.InstanceId"},
        tag_type="instance", prepare=_one_instance, after=_describe_instance,
        delete="terminate_instances", delete_by={"InstanceIds": "[@ref"},
    ),
}  # fmt: skip
