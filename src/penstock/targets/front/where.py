"""Where the base stack puts things: a network that it makes, or one that there is."""

from dataclasses import dataclass

from troposphere import Ref, Select


@dataclass(frozen=True, slots=True)
class Where:
    """A network and two of its subnets, as a template names them."""

    vpc: object
    subnets: tuple[object, object]


def own() -> Where:
    """The network that the same stack makes."""
    return Where(Ref("Vpc"), (Ref("PrivateSubnetA"), Ref("PrivateSubnetB")))


def given() -> Where:
    """A network that there is."""
    return Where(Ref("VpcId"), (Select(0, Ref("SubnetIds")), Select(1, Ref("SubnetIds"))))
