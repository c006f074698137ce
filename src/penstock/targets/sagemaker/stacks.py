"""From a manifest to CloudFormation stacks: nothing is asked of AWS, nothing is changed there."""

from pathlib import Path

from troposphere import Ref, Template

from penstock.manifest.model import Manifest
from penstock.targets.aws.alarms import alarm, topic
from penstock.targets.aws.budget import budget
from penstock.targets.aws.dashboard import Graph, dashboard
from penstock.targets.aws.stack import (
    DomainFacts,
    Emitted,
    NetworkFacts,
    Observed,
    Stack,
    Upload,
)
from penstock.targets.aws.tags import tag_all
from penstock.targets.front.main import front_main
from penstock.targets.front.scene import GatewayFiles
from penstock.targets.front.watching import front_graphs
from penstock.targets.sagemaker.base import base_template
from penstock.targets.sagemaker.components import component_hosting
from penstock.targets.sagemaker.deployment import Deployment, resolve
from penstock.targets.sagemaker.fronting import scene_of
from penstock.targets.sagemaker.hosting import hosting
from penstock.targets.sagemaker.outputs import outputs
from penstock.targets.sagemaker.parameters import declare_parameters
from penstock.targets.sagemaker.scaling import autoscaling
from penstock.targets.sagemaker.watching import graphs, rollback_watch, watches

__all__ = ("DomainFacts", "Emitted", "NetworkFacts", "Observed", "Stack", "Upload", "emit")


def emit(
    manifest: Manifest,
    observed: Observed,
    hub_cache: Path | None = None,
    gateway: GatewayFiles | None = None,
) -> Emitted:
    """The stacks of `manifest`, what has to be uploaded between them, and what has to be built.

    `gateway` is what the gateway of a front is told (`wiring/cloud.py`). Where the base stack's
    outputs are not known yet, the main stack's parameters lack them.

    Raises:
        ManifestError: SageMaker, or these templates, cannot serve it so.
        UserError: no instance type is known to serve it.
    """
    deployment = resolve(manifest, observed, hub_cache or Path("nowhere"), gateway)
    base = base_template(deployment)
    main = main_template(deployment, tuple(base.outputs))
    uploads = [deployment.artifact.upload] if deployment.artifact else []
    if gateway is not None:
        uploads += [gateway.settings, *gateway.sources]
    return Emitted(
        base=_stack(f"{deployment.stack}-base", base, deployment),
        main=_stack(deployment.stack, main, deployment),
        uploads=tuple(upload for upload in uploads if upload),
        builds=gateway.builds if gateway else (),
        cautions=(deployment.caution,) if deployment.caution else (),
    )


def _stack(name: str, template: Template, deployment: Deployment) -> Stack:
    known = deployment.found
    has_roles = any(each.resource_type == "AWS::IAM::Role" for each in template.resources.values())
    return Stack(
        name=name,
        template=template.to_dict(),
        parameters={name: known[name] for name in template.parameters if name in known},
        capabilities=("CAPABILITY_IAM",) if has_roles else (),
        tags=deployment.tags,
    )


def main_template(deployment: Deployment, told: tuple[str, ...]) -> Template:
    """Model, endpoint, scaling, front, alarms, dashboard and the addresses of all that.

    `told` are the base stack's outputs.
    """
    template = Template()
    template.set_version()
    template.set_description(f"Penstock {deployment.manifest.name}: {deployment.mode} endpoint")
    mailed = topic("AlarmTopic", deployment.manifest.target.alarm_email)
    actions: list[object] = [Ref(mailed[0])] if mailed else []
    rollback = alarm(rollback_watch(deployment), actions)
    make = component_hosting if deployment.mode == "components" else hosting
    resources = [
        *mailed,
        rollback,
        *make(deployment, rollback),
        *autoscaling(deployment),
        *(alarm(watch, actions) for watch in watches(deployment)),
        dashboard(deployment.stack, deployment.observed.region, _pictures(deployment)),
    ]
    scene = scene_of(deployment, deployment.key(Ref("KeyArn")))
    if scene is not None:
        resources += front_main(scene, actions)
    target = deployment.manifest.target
    if target.usd_per_month and target.alarm_email:
        name = deployment.manifest.name
        resources.append(budget(name, target.usd_per_month, target.alarm_email))
    for resource in resources:
        template.add_resource(resource)
    for output in outputs(deployment, scene):
        template.add_output(output)
    declare_parameters(template, told)
    tag_all(template, deployment.tags)
    return template


def _pictures(deployment: Deployment) -> list[Graph]:
    """The front's pictures, then the endpoint's."""
    return [
        *front_graphs(deployment.manifest.front.kind, deployment.stack),
        *graphs(deployment),
    ]
