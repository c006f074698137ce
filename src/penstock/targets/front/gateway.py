"""The gateway on Fargate: its tasks, what they are told, and what they may do."""

from collections.abc import Mapping

from troposphere import AWSObject, GetAtt, Join, Ref, Sub, ec2, ecs, servicediscovery

from penstock.targets.aws.fargate import Container, Tasks, cluster, scaled, service, task
from penstock.targets.aws.roles import Statement, allow, bucket_arn, role
from penstock.targets.front.balancer import Door
from penstock.targets.front.images import pull_statements
from penstock.targets.front.logs import log_group
from penstock.targets.front.scene import (
    HOME,
    PORT,
    SIZES,
    Scene,
    settings_arn,
    settings_place,
)
from penstock.targets.front.secrets import ADMIN, DATABASE, TURNS, tenant_title
from penstock.targets.front.state import database_url

ADMIN_VARIABLE = "PENSTOCK_ADMIN_KEY"
TURNS_VARIABLE = "PENSTOCK_TURNS_KEY"
DATABASE_VARIABLE, COUNTERS_VARIABLE = "PENSTOCK_DATABASE_URL", "PENSTOCK_COUNTERS_URL"
"""Variables of the gateway's process in AWS, which its settings name."""


def gateway(scene: Scene, door: Door, rollback: list[object]) -> list[AWSObject]:
    """Cluster, task, service and their roles; `rollback` are alarms that undo a roll-out."""
    front = scene.manifest.front
    cpu, memory_mib = SIZES[front.size]
    log = log_group("GatewayLogs", scene.key)
    container = Container(
        name="gateway",
        image=scene.image("gateway"),
        port=PORT,
        cpu=cpu,
        memory_mib=memory_mib,
        command=("--settings", settings_place(scene)),
        environment=_environment(scene),
        secrets=secret_variables(scene),
        user="10001:10001",
        writes=((HOME, None), ("/tmp", None)),  # noqa: S108 - a volume of the task's own
    )
    starter = role("GatewayStartRole", "ecs-tasks.amazonaws.com", start_statements(scene, log))
    runner = role("GatewayRole", "ecs-tasks.amazonaws.com", gateway_statements(scene))
    what = task("GatewayTask", container, (GetAtt(starter, "Arn"), GetAtt(runner, "Arn")), log)
    tasks = Tasks(front.tasks_min, front.tasks_max, rollback)
    where = cluster("Cluster")
    running = service(
        "Gateway",
        what,
        container,
        tasks,
        Cluster=Ref(where),
        DependsOn=door.joined["gateway"],
        HealthCheckGracePeriodSeconds=tasks.grace_s,
        NetworkConfiguration=standing("GatewayGroupId"),
        LoadBalancers=[
            ecs.LoadBalancer(
                ContainerName=container.name,
                ContainerPort=PORT,
                TargetGroupArn=Ref(door.targets["gateway"]),
            )
        ],
        **_found_by_name(scene),
    )
    return [
        log,
        starter,
        runner,
        where,
        what,
        running,
        *_private_name(scene),
        *scaled("GatewayScaling", Ref(where), running, tasks),
    ]


def secret_variables(scene: Scene) -> dict[str, object]:
    """Variables that ECS reads from Secrets Manager, and where they lie there."""
    found: dict[str, object] = dict(scene.files.secrets)
    found[ADMIN_VARIABLE] = Ref(f"{ADMIN}Arn")
    if scene.manifest.turns.key is None:
        found[TURNS_VARIABLE] = Ref(f"{TURNS}Arn")
    if scene.is_managed:
        found["PGPASSWORD"] = Ref(f"{DATABASE}Arn")
    return found


def gateway_statements(scene: Scene) -> list[Statement]:
    """What the gateway may do: ask the engines, read its settings and its tenants' keys."""
    statements = [*scene.engines, allow(["s3:GetObject"], [settings_arn(scene)])]
    prefixes = {scene.files.prefix, scene.manifest.keys.aws.prefix or ""} - {""}
    for prefix in sorted(prefixes):
        place = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:"
        statements.append(allow(["secretsmanager:GetSecretValue"], [Sub(f"{place}{prefix}*")]))
    if prefixes:
        statements.append(allow(["secretsmanager:ListSecrets"], ["*"]))
    audit = scene.manifest.audit
    if audit.to and audit.to.startswith("s3://"):
        name, _, below = audit.to.removeprefix("s3://").partition("/")
        below = f"/{below.strip('/')}/*".replace("//", "/")
        written = ["s3:GetObject", "s3:PutObject", "s3:PutObjectRetention"]
        statements.append(allow(written, [bucket_arn(name, below)]))
        statements.append(allow(["s3:ListBucket"], [bucket_arn(name)]))
    files = scene.manifest.batches.to if scene.manifest.batches.enabled else None
    if files and files.startswith("s3://"):
        name, _, below = files.removeprefix("s3://").partition("/")
        below = f"/{below.strip('/')}/*".replace("//", "/")
        written = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
        statements.append(allow(written, [bucket_arn(name, below)]))
        statements.append(allow(["s3:ListBucket"], [bucket_arn(name)]))
    keys = [key for key in (scene.key, _key_arn(audit.kms_key)) if key is not None]
    if keys:
        statements.append(allow(["kms:Decrypt", "kms:GenerateDataKey"], keys))
    return statements


def start_statements(scene: Scene, log: AWSObject) -> list[Statement]:
    """What ECS may do to start a task: pull the image, read its secrets, write its log."""
    statements = pull_statements(Sub(repositories()))
    statements.append(allow(["logs:CreateLogStream", "logs:PutLogEvents"], [GetAtt(log, "Arn")]))
    read = list(secret_variables(scene).values())
    statements.append(allow(["secretsmanager:GetSecretValue"], read))
    if scene.key is not None:
        statements.append(allow(["kms:Decrypt"], [scene.key]))
    return statements


def repositories() -> str:
    """The repositories of the account, in a form for `Fn::Sub`."""
    return "arn:${AWS::Partition}:ecr:${AWS::Region}:${AWS::AccountId}:repository/*"


def standing(group: str) -> ecs.NetworkConfiguration:
    """In the private subnets, in one group."""
    place = ecs.AwsvpcConfiguration(
        AssignPublicIp="DISABLED", Subnets=Ref("SubnetIds"), SecurityGroups=[Ref(group)]
    )
    return ecs.NetworkConfiguration(AwsvpcConfiguration=place)


def private_address(scene: Scene) -> str:
    """The gateway's address inside the network; only Open WebUI is told of it."""
    return f"http://gateway.{scene.stack}.internal:{PORT}"


def _environment(scene: Scene) -> Mapping[str, object]:
    told: dict[str, object] = {"AWS_DEFAULT_REGION": Ref("AWS::Region")}
    if scene.is_managed:
        told[DATABASE_VARIABLE] = database_url(Ref("DatabaseHost"))
        told["PGSSLMODE"] = "verify-full"
        told["PGSSLROOTCERT"] = "/opt/rds.pem"
        told[COUNTERS_VARIABLE] = Join("", ["rediss://", Ref("CountersHost"), ":6379"])
    return told


def _found_by_name(scene: Scene) -> dict[str, object]:
    if not scene.has_ui:
        return {}
    registered = ecs.ServiceRegistry(RegistryArn=GetAtt("PrivateName", "Arn"))
    return {"ServiceRegistries": [registered]}


def _private_name(scene: Scene) -> list[AWSObject]:
    """A name inside the network, for Open WebUI: it need not go out and in again."""
    if not scene.has_ui:
        return []
    space = servicediscovery.PrivateDnsNamespace(
        "PrivateNames", Name=f"{scene.stack}.internal", Vpc=Ref("VpcId")
    )
    records = servicediscovery.DnsConfig(
        DnsRecords=[servicediscovery.DnsRecord(Type="A", TTL="10")], RoutingPolicy="MULTIVALUE"
    )
    name = servicediscovery.Service(
        "PrivateName", Name="gateway", NamespaceId=Ref(space), DnsConfig=records
    )
    way = ec2.SecurityGroupIngress(
        "UiToGateway",
        GroupId=Ref("GatewayGroupId"),
        SourceSecurityGroupId=Ref("UiGroupId"),
        IpProtocol="tcp",
        FromPort=PORT,
        ToPort=PORT,
        Description="Open WebUI",
    )
    return [space, name, way]


def _key_arn(name: str | None) -> str | Sub | None:
    """The ARN of the key that seals the audit; an alias stands for any key of the account."""
    if name is None or name.startswith("arn:"):
        return name
    place = "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/"
    return Sub(place + ("*" if name.startswith("alias/") else name))


def key_command(tenant: str) -> str:
    """The command that shows a tenant's key, in a form for `Fn::Sub`."""
    return secret_command(f"{tenant_title(tenant)}Arn")


def secret_command(parameter: str) -> str:
    """The command that shows a secret, in a form for `Fn::Sub`."""
    return (
        "aws secretsmanager get-secret-value --region ${AWS::Region}"
        f" --secret-id ${{{parameter}}} --query SecretString --output text"
    )
