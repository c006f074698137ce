"""Whether containers that stand in the user's network can reach what they need."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors
from penstock.targets.doctor.finding import Finding, bad, doubtful, good

NEEDED = ("s3", "ecr.api", "ecr.dkr", "logs", "monitoring")
"""Services that a container has to reach; without the internet each needs an endpoint."""
FEW_ADDRESSES = 4


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet; `way_out` is `internet`, `nat` or nothing."""

    id: str
    vpc: str
    zone: str
    free: int
    way_out: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The network as it is; `zones` are those that have the machine, `opens` groups that let 443
    out."""

    asked: tuple[str, ...]
    subnets: tuple[Subnet, ...]
    groups: Mapping[str, str]
    asked_groups: tuple[str, ...]
    opens: frozenset[str]
    endpoints: frozenset[str]
    zones: frozenset[str]
    machine: str
    from_hub: bool


def look(
    account: Account, subnets: tuple[str, ...], groups: tuple[str, ...], machine: str, hub: bool
) -> Facts:
    """Read subnets, routes, endpoints, security groups, and where the machine is offered."""
    ec2 = account.client("ec2")
    with aws_errors("EC2"):
        by_id = {"Name": "subnet-id", "Values": list(subnets)}
        rows = ec2.describe_subnets(Filters=[by_id])["Subnets"]
        vpcs = sorted({row["VpcId"] for row in rows})
        in_vpcs = [{"Name": "vpc-id", "Values": vpcs}]
        tables = ec2.describe_route_tables(Filters=in_vpcs)["RouteTables"] if vpcs else []
        ends = ec2.describe_vpc_endpoints(Filters=in_vpcs)["VpcEndpoints"] if vpcs else []
        by_group = {"Name": "group-id", "Values": list(groups)}
        found = ec2.describe_security_groups(Filters=[by_group])["SecurityGroups"]
        offered = ec2.describe_instance_type_offerings(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": [machine.removeprefix("ml.")]}],
        )["InstanceTypeOfferings"]
    return Facts(
        subnets,
        tuple(
            Subnet(
                row["SubnetId"],
                row["VpcId"],
                row["AvailabilityZone"],
                row["AvailableIpAddressCount"],
                way_out(row["SubnetId"], row["VpcId"], tables),
            )
            for row in rows
        ),
        {each["GroupId"]: each["VpcId"] for each in found},
        groups,
        frozenset(each["GroupId"] for each in found if lets_out(each)),
        frozenset(each["ServiceName"].split(".", 3)[3] for each in ends),
        frozenset(each["Location"] for each in offered),
        machine,
        hub,
    )


def way_out(subnet: str, vpc: str, tables: Iterable[Mapping[str, Any]]) -> str:
    """How a subnet reaches the internet: by its own route table, else the network's main one."""
    mine: Mapping[str, Any] = {}
    for table in tables:
        for link in table.get("Associations", ()):
            if link.get("SubnetId") == subnet or (
                link.get("Main") and table["VpcId"] == vpc and not mine
            ):
                mine = table
    for route in mine.get("Routes", ()):
        if route.get("DestinationCidrBlock") != "0.0.0.0/0" or route.get("State") == "blackhole":
            continue
        if str(route.get("GatewayId", "")).startswith("igw-"):
            return "internet"
        if route.get("NatGatewayId") or route.get("TransitGatewayId") or route.get("InstanceId"):
            return "nat"
    return ""


def lets_out(group: Mapping[str, Any]) -> bool:
    """Whether a security group lets HTTPS out."""
    for rule in group.get("IpPermissionsEgress", ()):
        if rule["IpProtocol"] == "-1":
            return True
        low, high = rule.get("FromPort", 0), rule.get("ToPort", 65535)
        if rule["IpProtocol"] == "tcp" and low <= 443 <= high:
            return True
    return False


def check(facts: Facts) -> Iterator[Finding]:
    """Whether containers can stand and reach out there."""
    evidence = "ec2:DescribeSubnets " + ", ".join(facts.asked)
    missing = set(facts.asked) - {each.id for each in facts.subnets}
    if missing:
        says = f"there is no subnet {', '.join(sorted(missing))} in this region"
        yield bad("network.subnets", says, evidence, "Correct target.network.subnets.")
        return
    vpcs = {each.vpc for each in facts.subnets}
    if len(vpcs) > 1:
        says = f"the subnets lie in several networks: {', '.join(sorted(vpcs))}"
        yield bad("network.subnets", says, evidence, "Name subnets of one network.")
        return
    yield from _zones(facts)
    yield from _addresses(facts)
    yield from _ways(facts)
    yield from _groups(facts, next(iter(vpcs)))


def _zones(facts: Facts) -> Iterator[Finding]:
    zones = sorted({each.zone for each in facts.subnets})
    evidence = f"ec2:DescribeInstanceTypeOfferings: {', '.join(sorted(facts.zones)) or 'none'}"
    if facts.zones and not facts.zones & set(zones):
        says = f"no subnet lies in a zone that offers {facts.machine} ({', '.join(zones)})"
        yield bad("network.zones", says, evidence, "Name subnets in one of those zones.")
    elif len(zones) == 1:
        yield doubtful(
            "network.zones",
            f"all subnets lie in {zones[0]}: when that zone has no machine, nothing starts",
            evidence,
            "Name subnets in two zones at least.",
        )
    else:
        yield good("network.zones", f"subnets in {', '.join(zones)}", evidence)


def _addresses(facts: Facts) -> Iterator[Finding]:
    few = [each for each in facts.subnets if each.free < FEW_ADDRESSES]
    evidence = ", ".join(f"{each.id}: {each.free} free" for each in facts.subnets)
    if few:
        says = f"{', '.join(each.id for each in few)} has hardly an address left"
        yield doubtful("network.addresses", says, evidence, "Free some, or name larger subnets.")
    else:
        yield good("network.addresses", "the subnets have addresses left", evidence)


def _ways(facts: Facts) -> Iterator[Finding]:
    evidence = ", ".join(f"{each.id}: {each.way_out or 'no way out'}" for each in facts.subnets)
    evidence = f"route tables: {evidence}; endpoints: {', '.join(sorted(facts.endpoints)) or '-'}"
    public = [each.id for each in facts.subnets if each.way_out == "internet"]
    if public:
        yield bad(
            "network.routes",
            f"{', '.join(public)} reaches out by an internet gateway, which SageMaker's "
            "containers cannot use: they have no public address",
            evidence,
            "Name private subnets with a NAT gateway, or with endpoints.",
        )
        return
    closed = [each.id for each in facts.subnets if not each.way_out]
    lacking = [name for name in NEEDED if name not in facts.endpoints]
    if closed and facts.from_hub:
        yield bad(
            "network.routes",
            f"{', '.join(closed)} has no way to the internet, and the model comes from the Hub",
            evidence,
            "Add a NAT gateway, or put the model into S3 (model.id: s3://...).",
        )
    elif closed and lacking:
        yield bad(
            "network.routes",
            f"{', '.join(closed)} has no way out, and no endpoint for {', '.join(lacking)}",
            evidence,
            "Add a NAT gateway, or these endpoints to the network.",
        )
    else:
        yield good("network.routes", "containers can reach what they need", evidence)


def _groups(facts: Facts, vpc: str) -> Iterator[Finding]:
    evidence = f"ec2:DescribeSecurityGroups {', '.join(facts.asked_groups)}"
    missing = set(facts.asked_groups) - set(facts.groups)
    elsewhere = [name for name, where in facts.groups.items() if where != vpc]
    if missing or elsewhere:
        says = f"{', '.join(sorted(missing or elsewhere))} is no security group of {vpc}"
        fix = "Correct target.network.security_groups."
        yield bad("network.groups", says, evidence, fix)
    elif not facts.opens:
        says = "none of the security groups lets HTTPS out"
        fix = "Let one of them reach port 443: images, models and logs go that way."
        yield bad("network.groups", says, evidence, fix)
    else:
        yield good("network.groups", "the security groups let HTTPS out", evidence)
