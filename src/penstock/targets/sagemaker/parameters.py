"""What a stack is told: outputs of the base stack, and what exists already."""

from troposphere import Parameter, Template

GROUP = "AWS::EC2::SecurityGroup::Id"
KINDS = {
    "BucketName": ("String", "Bucket of the base stack"),
    "ExecutionRoleArn": ("String", "Role that SageMaker runs the containers in"),
    "VpcId": ("AWS::EC2::VPC::Id", "Network that all stands in"),
    "SubnetIds": ("List<AWS::EC2::Subnet::Id>", "Subnets that the containers stand in"),
    "PublicSubnetIds": ("List<AWS::EC2::Subnet::Id>", "Subnets that the load balancer stands in"),
    "SecurityGroupIds": (f"List<{GROUP}>", "Security groups of the containers"),
    "GatewayGroupId": (GROUP, "Security group of the gateways"),
    "UiGroupId": (GROUP, "Security group of Open WebUI"),
}
"""Types and meanings; any other output of the base stack is a string."""


def declare_parameters(template: Template, told: tuple[str, ...]) -> None:
    """Declare what `template` names of these and of `told`, the base stack's outputs."""
    text = template.to_json()
    for name in dict.fromkeys((*KINDS, *told)):
        kind, about = KINDS.get(name, ("String", "Output of the base stack"))
        if f'"Ref": "{name}"' in text or f"${{{name}}}" in text:
            template.add_parameter(Parameter(name, Type=kind, Description=about))
