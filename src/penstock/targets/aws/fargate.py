"""A container on Fargate, kept running: task, service, and the number of tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from troposphere import AWSObject, GetAtt, Join, Ref, Sub, ecs
from troposphere import applicationautoscaling as scaling

BUSY_PER_CENT = 60
STOP_S = 115
"""How long a task may take to stop; Fargate gives 120 s at most."""


@dataclass(frozen=True, slots=True)
class Container:
    """What runs in a task: `secrets` maps variables to what ECS reads them from."""

    name: str
    image: object
    port: int
    cpu: int
    memory_mib: int
    command: Sequence[object] = ()
    environment: Mapping[str, object] = field(default_factory=dict)
    secrets: Mapping[str, object] = field(default_factory=dict)
    user: str = ""
    writes: Sequence[tuple[str, object]] = ()
    """Where it writes: a path, and EFS settings, or None for a volume of the task's own."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """How many tasks run, and what undoes a roll-out that goes wrong."""

    least: int
    most: int
    rollback: Sequence[object] = ()
    overlap: bool = True
    """Whether a new task may start before the former has stopped."""
    grace_s: int = 120


def cluster(title: str) -> ecs.Cluster:
    """A cluster without machines, whose figures are kept."""
    on = ecs.ClusterSetting(Name="containerInsights", Value="enabled")
    return ecs.Cluster(title, ClusterSettings=[on])


def task(title: str, container: Container, roles: tuple[object, object], log: object) -> AWSObject:
    """The task definition; `roles` are that of ECS itself, and that of the container."""
    options: dict[str, object] = {}
    if container.user:
        options["User"] = container.user
    if container.command:
        options["Command"] = list(container.command)
    volumes, mounts = [], []
    for number, (path, shared) in enumerate(container.writes):
        volume = ecs.Volume(Name=f"volume-{number}")
        if shared is not None:
            volume.EFSVolumeConfiguration = shared
        volumes.append(volume)
        mounts.append(
            ecs.MountPoint(ContainerPath=path, SourceVolume=f"volume-{number}", ReadOnly=False)
        )
    logged = {
        "awslogs-group": Ref(log) if isinstance(log, AWSObject) else log,
        "awslogs-region": Sub("${AWS::Region}"),
        "awslogs-stream-prefix": container.name,
        "mode": "non-blocking",
        "max-buffer-size": "25m",
    }
    return ecs.TaskDefinition(
        title,
        RequiresCompatibilities=["FARGATE"],
        NetworkMode="awsvpc",
        Cpu=str(container.cpu),
        Memory=str(container.memory_mib),
        RuntimePlatform=ecs.RuntimePlatform(
            CpuArchitecture="X86_64", OperatingSystemFamily="LINUX"
        ),
        ExecutionRoleArn=roles[0],
        TaskRoleArn=roles[1],
        Volumes=volumes,
        ContainerDefinitions=[
            ecs.ContainerDefinition(
                Name=container.name,
                Image=container.image,
                Essential=True,
                ReadonlyRootFilesystem=True,
                StopTimeout=STOP_S,
                LinuxParameters=ecs.LinuxParameters(InitProcessEnabled=True),
                PortMappings=[ecs.PortMapping(ContainerPort=container.port, Protocol="tcp")],
                Environment=[
                    ecs.Environment(Name=name, Value=value)
                    for name, value in container.environment.items()
                ],
                Secrets=[
                    ecs.Secret(Name=name, ValueFrom=place)
                    for name, place in container.secrets.items()
                ],
                MountPoints=mounts,
                LogConfiguration=ecs.LogConfiguration(LogDriver="awslogs", Options=logged),
                **options,
            )
        ],
    )


def service(
    title: str, task: AWSObject, container: Container, tasks: Tasks, **more: object
) -> ecs.Service:
    """The service; a deployment that does not come up, or sets off an alarm, is undone."""
    undone = ecs.DeploymentCircuitBreaker(Enable=True, Rollback=True)
    rules = ecs.DeploymentConfiguration(
        DeploymentCircuitBreaker=undone,
        MinimumHealthyPercent=100 if tasks.overlap else 0,
        MaximumPercent=200 if tasks.overlap else 100,
    )
    if tasks.rollback:
        rules.Alarms = ecs.DeploymentAlarms(
            AlarmNames=list(tasks.rollback), Enable=True, Rollback=True
        )
    options = dict(more)
    if tasks.least == tasks.most:  # else the number is the scaling's, and no update resets it
        options["DesiredCount"] = tasks.least
    return ecs.Service(
        title,
        LaunchType="FARGATE",
        PlatformVersion="LATEST",
        TaskDefinition=Ref(task),
        DeploymentConfiguration=rules,
        EnableECSManagedTags=True,
        PropagateTags="SERVICE",
        EnableExecuteCommand=False,
        **options,
    )


def scaled(title: str, cluster: object, service: AWSObject, tasks: Tasks) -> list[AWSObject]:
    """More tasks when their processors are busy; none where the number never changes."""
    if tasks.least == tasks.most:
        return []
    target = scaling.ScalableTarget(
        f"{title}Target",
        ServiceNamespace="ecs",
        ScalableDimension="ecs:service:DesiredCount",
        ResourceId=Join("/", ["service", cluster, GetAtt(service, "Name")]),
        MinCapacity=tasks.least,
        MaxCapacity=tasks.most,
    )
    busy = scaling.PredefinedMetricSpecification(
        PredefinedMetricType="ECSServiceAverageCPUUtilization"
    )
    policy = scaling.ScalingPolicy(
        f"{title}Policy",
        PolicyName=Sub(f"${{AWS::StackName}}-{title.lower()}"),
        PolicyType="TargetTrackingScaling",
        ScalingTargetId=Ref(target),
        TargetTrackingScalingPolicyConfiguration=scaling.TargetTrackingScalingPolicyConfiguration(
            TargetValue=BUSY_PER_CENT,
            ScaleInCooldown=300,
            ScaleOutCooldown=60,
            PredefinedMetricSpecification=busy,
        ),
    )
    return [target, policy]
