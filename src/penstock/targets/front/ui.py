"""Open WebUI on Fargate: chat in the browser, with login, by a tenant's key of its own.

It is one task: its accounts and conversations are an SQLite file on EFS, which two tasks must not
write at once. So a new one starts when the former has stopped, and it is away meanwhile.
"""

from troposphere import AWSObject, GetAtt, Ref, Sub, ecs

from penstock.targets.aws.fargate import Container, Tasks, service, task
from penstock.targets.aws.roles import allow, role
from penstock.targets.front.balancer import Door
from penstock.targets.front.files import UI_USER
from penstock.targets.front.gateway import private_address, repositories, standing
from penstock.targets.front.images import pull_statements
from penstock.targets.front.logs import log_group
from penstock.targets.front.scene import PORT, UI, Scene
from penstock.targets.front.secrets import UI_PASSWORD, UI_SESSIONS, tenant_title

ADMINISTRATOR = "admin@localhost"
"""Open WebUI's first administrator where `target.alarm_email` names none."""
DATA = "/app/backend/data"
FIRST_START_S = 600
"""It makes its database at the first start, over NFS."""


def ui(scene: Scene, door: Door) -> list[AWSObject]:
    """Open WebUI's task and service; nothing where none is wanted."""
    if not scene.has_ui:
        return []
    log = log_group("UiLogs", scene.key)
    secrets = {
        "OPENAI_API_KEY": Ref(f"{tenant_title(UI)}Arn"),
        "WEBUI_SECRET_KEY": Ref(f"{UI_SESSIONS}Arn"),
        "WEBUI_ADMIN_PASSWORD": Ref(f"{UI_PASSWORD}Arn"),
    }
    files = ecs.EFSVolumeConfiguration(
        FilesystemId=Ref("FileSystemId"),
        TransitEncryption="ENABLED",
        AuthorizationConfig=ecs.AuthorizationConfig(
            AccessPointId=Ref("AccessPointId"), IAM="ENABLED"
        ),
    )
    container = Container(
        name="open-webui",
        image=scene.image("ui"),
        port=PORT,
        cpu=1024,
        memory_mib=4096,
        environment=_environment(scene),
        secrets=secrets,
        user=f"{UI_USER}:{UI_USER}",
        writes=((DATA, files), ("/tmp", None)),  # noqa: S108 - a volume of the task's own
    )
    may = [
        *pull_statements(Sub(repositories())),
        allow(["logs:CreateLogStream", "logs:PutLogEvents"], [GetAtt(log, "Arn")]),
        allow(["secretsmanager:GetSecretValue"], list(secrets.values())),
    ]
    if scene.key is not None:
        may.append(allow(["kms:Decrypt"], [scene.key]))
    starter = role("UiStartRole", "ecs-tasks.amazonaws.com", may)
    runner = role("UiRole", "ecs-tasks.amazonaws.com", [_files_statement()])
    what = task("UiTask", container, (GetAtt(starter, "Arn"), GetAtt(runner, "Arn")), log)
    running = service(
        "Ui",
        what,
        container,
        Tasks(1, 1, overlap=False),
        Cluster=Ref("Cluster"),
        DependsOn=door.joined["ui"],
        HealthCheckGracePeriodSeconds=FIRST_START_S,
        NetworkConfiguration=standing("UiGroupId"),
        LoadBalancers=[
            ecs.LoadBalancer(
                ContainerName=container.name,
                ContainerPort=PORT,
                TargetGroupArn=Ref(door.targets["ui"]),
            )
        ],
    )
    return [log, starter, runner, what, running]


def _environment(scene: Scene) -> dict[str, object]:
    front = scene.manifest.front
    scheme = "http" if front.plain_http else "https"
    address = f"{scheme}://{front.domain}" if front.domain else GetAtt("LoadBalancer", "DNSName")
    if not isinstance(address, str):
        address = Sub("http://${LoadBalancer.DNSName}")
    return {
        "OPENAI_API_BASE_URL": f"{private_address(scene)}/v1",
        "ENABLE_OPENAI_API": "true",
        "ENABLE_OLLAMA_API": "false",
        "WEBUI_AUTH": "true",
        "ENABLE_SIGNUP": "false",
        "WEBUI_ADMIN_EMAIL": scene.manifest.target.alarm_email or ADMINISTRATOR,
        "WEBUI_ADMIN_NAME": "Administrator",
        "WEBUI_URL": address,
        "CORS_ALLOW_ORIGIN": address,
        "WEBUI_SESSION_COOKIE_SECURE": "false" if front.plain_http else "true",
        "OFFLINE_MODE": "true",
        "HOME": DATA,
        "STATIC_DIR": f"{DATA}/static",
        "PORT": str(PORT),
    }


def _files_statement() -> dict[str, object]:
    place = "arn:${AWS::Partition}:elasticfilesystem:${AWS::Region}:${AWS::AccountId}:"
    used = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    by = {
        "StringEquals": {
            "elasticfilesystem:AccessPointArn": Sub(f"{place}access-point/${{AccessPointId}}")
        }
    }
    return allow(used, [Sub(f"{place}file-system/${{FileSystemId}}")], by)
