"""Inference components: the model as one, each adapter as another that leans on it.

The endpoint's variant names no model and no container; SageMaker places copies on its machines,
adds machines for those that do not fit, and takes away those that hold none. The containers' role
and network are on the endpoint configuration. A base component has a container, or the name of a
model where its files are no single archive; an adapter's has neither resources nor copies of its
own. CloudFormation deletes in reverse order, so adapters go before the base and both before the
endpoint.
"""

import hashlib
import re

from troposphere import AWSObject, GetAtt, Ref, sagemaker

from penstock.targets.sagemaker.deployment import Deployment
from penstock.targets.sagemaker.hosting import (
    DOWNLOAD_S,
    MOST_S,
    START_S,
    VARIANT,
    artifact_uri,
    model,
    network,
    variant,
    volume_key,
)

COPY_WAIT_S = 120
"""How long errors are watched for after each copy, where `target.update.wait_s` is left out."""
MOST_VARIABLES = 16
"""Variables that a component's own container may have; a model may have more."""


def component_hosting(deployment: Deployment, rollback: AWSObject) -> list[AWSObject]:
    """An endpoint without a model, the base component, and one for each adapter."""
    scale, machine = deployment.manifest.scale, deployment.machine
    config = sagemaker.EndpointConfig(
        "EndpointConfig",
        ExecutionRoleArn=Ref("ExecutionRoleArn"),
        ProductionVariants=[
            variant(
                deployment,
                ManagedInstanceScaling=sagemaker.ManagedInstanceScaling(
                    Status="ENABLED",
                    MinInstanceCount=machine.for_copies(scale.min),
                    MaxInstanceCount=machine.for_copies(scale.max),
                ),
            )
        ],
        VpcConfig=network(deployment),
        KmsKeyId=volume_key(deployment),
    )
    endpoint = sagemaker.Endpoint(
        "Endpoint",
        EndpointName=deployment.stack,
        EndpointConfigName=GetAtt(config, "EndpointConfigName"),
    )
    base = _base(deployment, endpoint, rollback)
    resources: list[AWSObject] = [config, endpoint, base]
    if _needs_model(deployment):
        resources.insert(0, model(deployment))
    adapters = deployment.manifest.adapters.items()
    return resources + [_adapter(deployment, name, place) for name, place in adapters]


def _base(
    deployment: Deployment, endpoint: AWSObject, rollback: AWSObject
) -> sagemaker.InferenceComponent:
    machine = deployment.machine
    resources = sagemaker.InferenceComponentComputeResourceRequirements(
        MinMemoryRequiredInMb=deployment.manifest.target.copy_memory_mib
    )
    if machine.gpus_per_copy:
        resources.NumberOfAcceleratorDevicesRequired = machine.gpus_per_copy
    specification = sagemaker.InferenceComponentSpecification(
        ComputeResourceRequirements=resources,
        StartupParameters=sagemaker.InferenceComponentStartupParameters(
            ContainerStartupHealthCheckTimeoutInSeconds=START_S,
            ModelDataDownloadTimeoutInSeconds=DOWNLOAD_S,
        ),
    )
    if _needs_model(deployment):
        specification.ModelName = GetAtt("Model", "ModelName")
    else:
        container = sagemaker.InferenceComponentContainerSpecification(
            Image=deployment.image, Environment=dict(deployment.environment)
        )
        if deployment.artifact:
            container.ArtifactUrl = artifact_uri(deployment.artifact)
        specification.Container = container
    return sagemaker.InferenceComponent(
        "BaseComponent",
        InferenceComponentName=deployment.base_component,
        EndpointName=GetAtt(endpoint, "EndpointName"),
        VariantName=VARIANT,
        Specification=specification,
        RuntimeConfig=sagemaker.InferenceComponentRuntimeConfig(
            CopyCount=max(deployment.manifest.scale.min, 1)
        ),
        DeploymentConfig=_roll_out(deployment, rollback),
    )


def _adapter(deployment: Deployment, name: str, place: str) -> sagemaker.InferenceComponent:
    return sagemaker.InferenceComponent(
        adapter_title(name),
        DependsOn=["BaseComponent"],
        InferenceComponentName=deployment.component_of(name),
        EndpointName=GetAtt("Endpoint", "EndpointName"),
        Specification=sagemaker.InferenceComponentSpecification(
            BaseInferenceComponentName=deployment.base_component,
            Container=sagemaker.InferenceComponentContainerSpecification(ArtifactUrl=place),
        ),
    )


def adapter_title(name: str) -> str:
    """An adapter's name in the template: its own whichever others come and go beside it."""
    plain = "".join(re.findall(r"[A-Za-z0-9]+", name)).capitalize()
    return f"Adapter{plain[:40]}{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _needs_model(deployment: Deployment) -> bool:
    artifact = deployment.artifact
    loose = artifact is not None and not artifact.is_archive
    return loose or len(deployment.environment) > MOST_VARIABLES


def _roll_out(
    deployment: Deployment, rollback: AWSObject
) -> sagemaker.InferenceComponentDeploymentConfig:
    """Rolling: copy by copy, or a share of them at a time; back if an alarm goes off."""
    update = deployment.manifest.target.update
    step = sagemaker.InferenceComponentCapacitySize(Type="COPY_COUNT", Value=1)
    if update.policy == "rolling":
        step = sagemaker.InferenceComponentCapacitySize(
            Type="CAPACITY_PERCENT", Value=update.percent
        )
    wait_s = update.wait_s if "wait_s" in update.model_fields_set else COPY_WAIT_S
    return sagemaker.InferenceComponentDeploymentConfig(
        RollingUpdatePolicy=sagemaker.InferenceComponentRollingUpdatePolicy(
            MaximumBatchSize=step,
            WaitIntervalInSeconds=wait_s,
            MaximumExecutionTimeoutInSeconds=MOST_S,
        ),
        AutoRollbackConfiguration=sagemaker.AutoRollbackConfiguration(
            Alarms=[sagemaker.Alarm(AlarmName=name) for name in (Ref(rollback), *update.alarms)]
        ),
    )
