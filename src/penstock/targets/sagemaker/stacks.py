"""From a manifest to CloudFormation stacks: nothing is asked of AWS, nothing is changed there."""

from pathlib import Path

from troposphere import Parameter, Ref, Template

from penstock.manifest.model import Manifest
from penstock.targets.aws.alarms import alarm, topic
from penstock.targets.aws.budget import budget
from penstock.targets.aws.dashboard import dashboard
from penstock.targets.aws.stack import (
    DomainFacts,
    Emitted,
    NetworkFacts,
    Observed,
    Stack,
    Upload,
)
from penstock.targets.aws.tags import tag_all
from penstock.targets.sagemaker.base import base_template
from penstock.targets.sagemaker.components import component_hosting
from penstock.targets.sagemaker.deployment import Deployment, resolve
from penstock.targets.sagemaker.hosting import hosting
from penstock.targets.sagemaker.outputs import outputs
from penstock.targets.sagemaker.scaling import autoscaling
from penstock.targets.sagemaker.watching import graphs, rollback_watch, watches

__all__ = ("DomainFacts", "Emitted", "NetworkFacts", "Observed", "Stack", "Upload", "emit")


def emit(manifest: Manifest, observed: Observed, hub_cache: Path | None = None) -> Emitted:
    """The stacks of `manifest` and what has to be uploaded between them.

    Where the base stack's outputs are not known yet, the main stack's parameters lack them.

    Raises:
        ManifestError: SageMaker, or these templates, cannot serve it so.
        UserError: no instance type is known to serve it.
    """
    deployment = resolve(manifest, observed, hub_cache or Path("nowhere"))
    base, main = base_template(deployment), main_template(deployment)
    known = deployment.found
    uploads = (deployment.artifact.upload,) if deployment.artifact else ()
    return Emitted(
        base=Stack(
            name=f"{deployment.stack}-base",
            template=base.to_dict(),
            parameters={},
            capabilities=("CAPABILITY_IAM",) if deployment.makes_role else (),
            tags=deployment.tags,
        ),
        main=Stack(
            name=deployment.stack,
            template=main.to_dict(),
            parameters={name: known[name] for name in main.parameters if name in known},
            capabilities=(),
            tags=deployment.tags,
        ),
        uploads=tuple(upload for upload in uploads if upload),
    )


def main_template(deployment: Deployment) -> Template:
    """Model, endpoint, scaling, alarms, dashboard and the addresses of all that."""
    template = Template()
    template.set_version()
    template.set_description(f"Penstock {deployment.manifest.name}: {deployment.mode} endpoint")
    told = topic("AlarmTopic", deployment.manifest.target.alarm_email)
    actions: list[object] = [Ref(told[0])] if told else []
    rollback = alarm(rollback_watch(deployment), actions)
    make = component_hosting if deployment.mode == "components" else hosting
    resources = [
        *told,
        rollback,
        *make(deployment, rollback),
        *autoscaling(deployment),
        *(alarm(watch, actions) for watch in watches(deployment)),
        dashboard(deployment.stack, deployment.observed.region, list(graphs(deployment))),
    ]
    target = deployment.manifest.target
    if target.usd_per_month and target.alarm_email:
        name = deployment.manifest.name
        resources.append(budget(name, target.usd_per_month, target.alarm_email))
    for resource in resources:
        template.add_resource(resource)
    for output in outputs(deployment):
        template.add_output(output)
    _declare_parameters(template)
    tag_all(template, deployment.tags)
    return template


PARAMETERS = {
    "BucketName": ("String", "Bucket of the base stack"),
    "ExecutionRoleArn": ("String", "Role that SageMaker runs the containers in"),
    "SubnetIds": ("List<AWS::EC2::Subnet::Id>", "Subnets that the containers stand in"),
    "SecurityGroupIds": (
        "List<AWS::EC2::SecurityGroup::Id>",
        "Security groups of the containers",
    ),
}
"""What the main stack is told: outputs of the base stack, and what exists already."""


def _declare_parameters(template: Template) -> None:
    """Declare those parameters that the template names."""
    text = template.to_json()
    for name, (kind, about) in PARAMETERS.items():
        if f'"Ref": "{name}"' in text or f"${{{name}}}" in text:
            template.add_parameter(Parameter(name, Type=kind, Description=about))
