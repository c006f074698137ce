"""Where the base stack puts things: a network that it makes, or one that there is."""

from dataclasses import dataclass

from troposphere import Ref, Select


@dataclass(frozen=True, slots=True)
class Where:
    """A network as a template names it; `cidr` is what its addresses lie in."""

    vpc: object
    subnets: tuple[object, object]
    cidr: str


def own(cidr: str) -> Where:
    """The network that the same stack makes."""
    return Where(Ref("Vpc"), (Ref("PrivateSubnetA"), Ref("PrivateSubnetB")), cidr)


def given() -> Where:
    """A network that there is; its addresses are private ones of any kind."""
    subnets = (Select(0, Ref("SubnetIds")), Select(1, Ref("SubnetIds")))
    return Where(Ref("VpcId"), subnets, "10.0.0.0/8")
