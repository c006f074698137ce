"""Model, endpoint configuration and endpoint.

The endpoint configuration has no name of ours: it is replaced with every change, and a named one
would stop its own replacement. The endpoint has one, so that clients keep their address.
"""

from troposphere import AWSObject, AWSProperty, GetAtt, Join, NoValue, Ref, sagemaker

from penstock.targets.sagemaker.asynchronous import async_config, async_topics
from penstock.targets.sagemaker.deployment import Artifact, Deployment

VARIANT = "AllTraffic"
"""The name of the one production variant."""
MOST_MEMORY_MB = 6144
"""The most that serverless inference gives."""
START_S, DOWNLOAD_S = 1800, 3600
"""How long a container may take to answer its first ping, and its model to arrive."""
MOST_S = 7200
"""The longest that an update may take."""


class ModelFiles(AWSProperty):  # type: ignore[misc]
    """`S3DataSource` of a model; troposphere 4.11 has a training job's under that name."""

    props = {  # noqa: RUF012  the form that troposphere reads
        "S3Uri": (str, True),
        "S3DataType": (str, True),
        "CompressionType": (str, True),
    }


class ModelSource(sagemaker.ModelDataSource):  # type: ignore[misc]
    """`AWS::SageMaker::Model ModelDataSource`, with the above."""

    props = {"S3DataSource": (ModelFiles, True)}  # noqa: RUF012


def hosting(deployment: Deployment, rollback: AWSObject) -> list[AWSObject]:
    """The endpoint with its model on one variant; a bad roll-out is undone by `rollback`."""
    asynchronous = deployment.mode == "async"
    config = sagemaker.EndpointConfig(
        "EndpointConfig",
        ProductionVariants=[variant(deployment, ModelName=GetAtt("Model", "ModelName"))],
        KmsKeyId=volume_key(deployment),
        AsyncInferenceConfig=async_config(deployment) if asynchronous else NoValue,
    )
    options = {
        "RetainAllVariantProperties": True,
        "DeploymentConfig": _roll_out(deployment, rollback),
    }
    endpoint = sagemaker.Endpoint(
        "Endpoint",
        EndpointName=deployment.stack,
        EndpointConfigName=GetAtt(config, "EndpointConfigName"),
        **({} if deployment.mode == "serverless" else options),
    )
    told = async_topics(deployment) if asynchronous else []
    return [*told, model(deployment), config, endpoint]


def model(deployment: Deployment) -> sagemaker.Model:
    """Image, environment and files; it stands in the user's network if there is one."""
    container = sagemaker.ContainerDefinition(
        Image=deployment.image, Environment=dict(deployment.environment)
    )
    artifact = deployment.artifact
    if artifact and artifact.is_archive:
        container.ModelDataUrl = artifact_uri(artifact)
    elif artifact:
        source = ModelFiles(
            S3Uri=artifact_uri(artifact), S3DataType="S3Prefix", CompressionType="None"
        )
        container.ModelDataSource = ModelSource(S3DataSource=source)
    return sagemaker.Model(
        "Model",
        ExecutionRoleArn=Ref("ExecutionRoleArn"),
        PrimaryContainer=container,
        VpcConfig=network(deployment),
    )


def artifact_uri(artifact: Artifact) -> object:
    """The `s3://` URI of the model's files."""
    if artifact.uri:
        return artifact.uri if artifact.is_archive else artifact.uri.rstrip("/") + "/"
    return Join("", ["s3://", Ref("BucketName"), "/", artifact.bucket_key])


def network(deployment: Deployment) -> object:
    """Subnets and security groups of the containers."""
    if not deployment.has_network:
        return NoValue
    return sagemaker.VpcConfig(Subnets=Ref("SubnetIds"), SecurityGroupIds=Ref("SecurityGroupIds"))


def variant(deployment: Deployment, **more: object) -> sagemaker.ProductionVariant:
    """The production variant: which machines, how many to begin with, with what driver.

    `scale` counts copies, several of which a machine may hold; SageMaker refuses to begin with
    more machines than its own scaling may start.
    """
    machine, scale = deployment.machine, deployment.manifest.scale
    components = deployment.mode == "components"
    fewest = machine.for_copies(scale.min) if components else deployment.machines(scale.min)
    if deployment.mode == "serverless":
        return _serverless(deployment, **more)
    made = sagemaker.ProductionVariant(
        VariantName=VARIANT,
        InstanceType=machine.type,
        InitialInstanceCount=max(fewest, 1),
        RoutingConfig=sagemaker.RoutingConfig(RoutingStrategy="LEAST_OUTSTANDING_REQUESTS"),
        **more,
    )
    if "ModelName" in more:
        made.InitialVariantWeight = 1
        made.ContainerStartupHealthCheckTimeoutInSeconds = START_S
        made.ModelDataDownloadTimeoutInSeconds = DOWNLOAD_S
    if deployment.inference_ami and machine.gpus:
        made.InferenceAmiVersion = deployment.inference_ami
    return made


def _serverless(deployment: Deployment, **more: object) -> sagemaker.ProductionVariant:
    most = sagemaker.ServerlessConfig(
        MemorySizeInMB=MOST_MEMORY_MB, MaxConcurrency=min(deployment.manifest.scale.max, 200)
    )
    return sagemaker.ProductionVariant(
        VariantName=VARIANT, InitialVariantWeight=1, ServerlessConfig=most, **more
    )


def volume_key(deployment: Deployment) -> object:
    """Machines with disks of their own encrypt these themselves and refuse a key."""
    key = deployment.key(Ref("KeyArn"))
    return NoValue if key is None or deployment.machine.has_own_disks else key


def _roll_out(deployment: Deployment, rollback: AWSObject) -> sagemaker.DeploymentConfig:
    """A second fleet beside the first, or machine by machine; back if an alarm goes off."""
    update = deployment.manifest.target.update
    config = sagemaker.DeploymentConfig(
        AutoRollbackConfiguration=sagemaker.AutoRollbackConfig(
            Alarms=[sagemaker.Alarm(AlarmName=name) for name in (Ref(rollback), *update.alarms)]
        )
    )
    share = sagemaker.CapacitySize(Type="CAPACITY_PERCENT", Value=update.percent)
    if update.policy == "rolling":
        config.RollingUpdatePolicy = sagemaker.RollingUpdatePolicy(
            MaximumBatchSize=share,
            WaitIntervalInSeconds=update.wait_s,
            MaximumExecutionTimeoutInSeconds=MOST_S,
        )
        return config
    traffic = sagemaker.TrafficRoutingConfig(
        Type=update.policy.upper(), WaitIntervalInSeconds=update.wait_s
    )
    if update.policy == "canary":
        traffic.CanarySize = share
    elif update.policy == "linear":
        traffic.LinearStepSize = share
    config.BlueGreenUpdatePolicy = sagemaker.BlueGreenUpdatePolicy(
        TrafficRoutingConfiguration=traffic,
        TerminationWaitInSeconds=300,
        MaximumExecutionTimeoutInSeconds=MOST_S,
    )
    return config
