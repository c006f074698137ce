"""The gateway in a Lambda function behind a REST API, with a key and a usage plan a tenant.

API Gateway's keys tell who calls and bound how often; they are no secret that proves it, and they
open nothing: the gateway in the function asks for the tenant's own key as it does anywhere. Only
a REST API streams, and only through Lambda's streaming invocation, which Python has through the
web adapter in the image. A function serves one request at a time and is frozen between them, so
nothing can be kept in it: there is no ledger and there are no budgets.
"""

import hashlib
import json

from troposphere import AWSObject, GetAtt, Ref, Sub, apigateway, awslambda

from penstock.manifest.tenancy import Tenant
from penstock.targets.aws.roles import allow, role
from penstock.targets.front.gateway import TURNS_VARIABLE, gateway_statements
from penstock.targets.front.logs import log_group
from penstock.targets.front.scene import PORT, SIZES, Scene, settings_place
from penstock.targets.front.secrets import TURNS, tenant_title

TIMEOUT_S = 900
"""The longest that a function may run, and that API Gateway streams."""
STAGE = "live"
METHODS = (("Invoke", "/invoke", "POST"), ("Tools", "/tools", "GET"), ("V1", "/v1", "ANY"))
_INVOKED = (
    "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2021-11-15/functions/"
    "${Function.Arn}/response-streaming-invocations"
)
_CALLED = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*"


def rest(scene: Scene) -> list[AWSObject]:
    """The API `Api`, its stage, the function `Function`, and a usage plan for each tenant."""
    made = _function(scene)
    api = apigateway.RestApi(
        "Api",
        Name=scene.stack,
        Description=f"Penstock {scene.manifest.name}",
        ApiKeySourceType="HEADER",
        BinaryMediaTypes=["application/octet-stream", "multipart/form-data"],
        EndpointConfiguration=apigateway.EndpointConfiguration(Types=["REGIONAL"]),
    )
    paths = _paths()
    deployment = apigateway.Deployment(
        f"Deployment{_digest(paths)}",
        DependsOn=[each.title for each in paths if isinstance(each, apigateway.Method)],
        RestApiId=Ref(api),
    )
    stage = apigateway.Stage(
        "Stage",
        RestApiId=Ref(api),
        DeploymentId=Ref(deployment),
        StageName=STAGE,
        MethodSettings=[
            apigateway.MethodSetting(
                HttpMethod="*", ResourcePath="/*", MetricsEnabled=True, DataTraceEnabled=False
            )
        ],
    )
    permission = awslambda.Permission(
        "FunctionPermission",
        FunctionName=Ref("Function"),
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=Sub(_CALLED),
    )
    return [*made, api, *paths, deployment, stage, permission, *_plans(scene)]


def stage_arn() -> Sub:
    """The stage, as the firewall calls it."""
    return Sub("arn:${AWS::Partition}:apigateway:${AWS::Region}::/restapis/${Api}/stages/${Stage}")


def plan_title(tenant: str) -> str:
    """What the logical ids of a tenant's API key and plan begin with."""
    return "Api" + tenant_title(tenant)


def _function(scene: Scene) -> list[AWSObject]:
    log = log_group("FunctionLogs", scene.key)
    may = [
        *gateway_statements(scene),
        allow(["logs:CreateLogStream", "logs:PutLogEvents"], [GetAtt(log, "Arn")]),
    ]
    variables: dict[str, object] = {
        "AWS_LWA_PORT": str(PORT),
        "AWS_LWA_READINESS_CHECK_PATH": "/health",
        "AWS_LWA_INVOKE_MODE": "response_stream",
        "AWS_LWA_REMOVE_BASE_PATH": f"/{STAGE}",
        "HOME": "/tmp",  # noqa: S108 - all that a function may write to
    }
    read = dict(scene.files.secrets)
    if scene.manifest.turns.key is None:
        read[TURNS_VARIABLE] = f"${{{TURNS}Arn}}"
    for name, place in read.items():
        variables[name] = Sub(f"{{{{resolve:secretsmanager:{place}:SecretString}}}}")
    runner = role("FunctionRole", "lambda.amazonaws.com", may)
    function = awslambda.Function(
        "Function",
        Description=f"Gateway of {scene.stack}",
        PackageType="Image",
        Code=awslambda.Code(ImageUri=scene.image("gateway")),
        ImageConfig=awslambda.ImageConfig(Command=["--settings", settings_place(scene)]),
        Architectures=["x86_64"],
        Role=GetAtt(runner, "Arn"),
        MemorySize=SIZES[scene.manifest.front.size][1],
        Timeout=TIMEOUT_S,
        LoggingConfig=awslambda.LoggingConfig(LogGroup=Ref(log)),
        Environment=awslambda.Environment(Variables=variables),
    )
    if scene.key is not None:
        function.KmsKeyArn = scene.key
    return [log, runner, function]


def _paths() -> list[AWSObject]:
    made: list[AWSObject] = []
    for title, path, method in METHODS:
        resource = apigateway.Resource(
            f"{title}Path",
            RestApiId=Ref("Api"),
            ParentId=GetAtt("Api", "RootResourceId"),
            PathPart=path.removeprefix("/"),
        )
        made.append(resource)
        if path == "/v1":
            resource = apigateway.Resource(
                f"{title}Below",
                RestApiId=Ref("Api"),
                ParentId=Ref(resource),
                PathPart="{proxy+}",
            )
            made.append(resource)
        made.append(_method(f"{title}Method", resource, method))
    return made


def _method(title: str, resource: AWSObject, method: str) -> apigateway.Method:
    return apigateway.Method(
        title,
        RestApiId=Ref("Api"),
        ResourceId=Ref(resource),
        HttpMethod=method,
        AuthorizationType="NONE",
        ApiKeyRequired=True,
        Integration=apigateway.Integration(
            Type="AWS_PROXY",
            IntegrationHttpMethod="POST",
            Uri=Sub(_INVOKED),
            ResponseTransferMode="STREAM",
            TimeoutInMillis=TIMEOUT_S * 1000,
        ),
    )


def _plans(scene: Scene) -> list[AWSObject]:
    """For each tenant a key, and a plan with the tenant's own limits; 50, 100 and 10,000 a day."""
    made: list[AWSObject] = []
    for name in scene.files.tenants:
        tenant = scene.manifest.tenants.get(name) or Tenant()
        title = plan_title(name)
        key = apigateway.ApiKey(f"{title}Key", Enabled=True, Name=f"{scene.stack}-{name}")
        plan = apigateway.UsagePlan(
            f"{title}Plan",
            UsagePlanName=f"{scene.stack}-{name}",
            ApiStages=[apigateway.ApiStage(ApiId=Ref("Api"), Stage=Ref("Stage"))],
            Throttle=apigateway.ThrottleSettings(
                RateLimit=tenant.requests_per_second, BurstLimit=tenant.burst
            ),
            Quota=apigateway.QuotaSettings(Limit=tenant.requests_per_day, Period="DAY"),
        )
        joined = apigateway.UsagePlanKey(
            f"{title}Member", KeyId=Ref(key), KeyType="API_KEY", UsagePlanId=Ref(plan)
        )
        made += [key, plan, joined]
    return made


def _digest(resources: list[AWSObject]) -> str:
    """A stage shows a deployment, and a deployment is a copy: what changes needs a new one."""
    text = json.dumps([each.to_dict() for each in resources], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
