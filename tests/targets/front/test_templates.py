"""What the templates of fronts promise, beyond their wording."""

import json
from functools import cache
from typing import Any

import pytest
from tests.targets.sagemaker.cases import CASES, SECRET, emitted, manifest_of

from penstock.targets.aws.fargate import STOP_S
from penstock.targets.front.balancer import DRAIN_S
from penstock.targets.sagemaker.handbook import upload_bytes
from penstock.targets.sagemaker.stacks import Observed
from penstock.wiring.cloud import emit_stacks

FRONTS = [name for name, case in CASES.items() if "front" in case]
GATEWAYS = [name for name in FRONTS if CASES[name]["front"]["kind"] == "gateway"]


@cache
def resources(name: str) -> dict[str, Any]:
    """Every resource of both stacks, by logical id."""
    stacks = emitted(name)
    found: dict[str, Any] = {}
    for stack in (stacks.base, stacks.main):
        every: Any = stack.template["Resources"]
        assert not set(found) & set(every)
        found |= {title: each["Properties"] for title, each in every.items()}
    return found


@cache
def settings(name: str) -> dict[str, Any]:
    """What the gateway is told."""
    (upload,) = [each for each in emitted(name).uploads if each.key.endswith("gateway.json")]
    return dict(json.loads(upload_bytes(upload)))


def statements(name: str, role: str) -> list[Any]:
    (policy,) = resources(name)[role]["Policies"]
    return list(policy["PolicyDocument"]["Statement"])


@pytest.mark.parametrize("name", FRONTS)
def test_outputs_say_how_to_reach_it_and_how_to_get_the_keys(name: str) -> None:
    outputs: Any = emitted(name).main.template["Outputs"]
    assert {"GatewayUrl", "OpenAIBaseUrl", "CurlExample", "ApiKeyCommand"} <= set(outputs)
    assert "SageMakerIntegrationMode" in outputs
    example = json.dumps(outputs["CurlExample"])
    assert "get-secret-value" in example
    if CASES[name]["front"]["kind"] == "rest":
        assert "x-api-key" in example
    else:
        assert "AdminKeyCommand" in outputs


@pytest.mark.parametrize("name", FRONTS)
def test_the_gateway_may_invoke_its_endpoint_and_no_other(name: str) -> None:
    role = "GatewayRole" if name in GATEWAYS else "FunctionRole"
    for statement in statements(name, role):
        places = json.dumps(statement["Resource"])
        for action in statement["Action"]:
            if action.startswith("sagemaker:Invoke"):
                assert "endpoint/penstock-support-bot" in places
            assert action not in ("sagemaker:CreateEndpoint", "iam:PassRole")
        if statement["Resource"] == ["*"]:
            alone = {"sagemaker:CallWithBearerToken", "secretsmanager:ListSecrets"}
            assert set(statement["Action"]) <= alone


@pytest.mark.parametrize("name", FRONTS)
def test_no_secret_stands_in_a_template_or_in_the_settings(name: str) -> None:
    stacks = emitted(name)
    text = json.dumps([stacks.base.template, stacks.main.template])
    assert 'SecretString": "' not in text
    told = settings(name)
    assert told["keys"] == []
    assert told.get("admin") is None
    assert "arn:aws:secretsmanager" not in json.dumps(told)


@pytest.mark.parametrize("name", GATEWAYS)
def test_every_variable_of_the_settings_is_given_to_the_process(name: str) -> None:
    (container,) = resources(name)["GatewayTask"]["ContainerDefinitions"]
    given = {each["Name"] for each in (*container["Environment"], *container["Secrets"])}
    told = settings(name)
    wanted = {told["admin_env"], told["tools"]["continuation_key_env"]}
    wanted |= {told["registry"].get("database_env"), told["registry"].get("counters_env")}
    wanted |= {source.get("secret_env") for source in told["tools"].get("sources", ())}
    assert wanted - {None} <= given
    readable = json.dumps(statements(name, "GatewayStartRole"))
    for each in container["Secrets"]:
        assert json.dumps(each["ValueFrom"]) in readable


def test_secrets_of_the_manifest_reach_the_process_by_their_arns() -> None:
    (container,) = resources("gateway-given")["GatewayTask"]["ContainerDefinitions"]
    given = {
        each["ValueFrom"] for each in container["Secrets"] if isinstance(each["ValueFrom"], str)
    }
    arns = {SECRET.format(name)[9:-1] for name in ("db", "valkey", "c", "turns")}
    assert given == arns


@pytest.mark.parametrize("name", GATEWAYS)
def test_nothing_is_cut_off_that_need_not_be(name: str) -> None:
    """The gateway outlives the balancer's idle connections, and its own answers the task's end."""
    made, told = resources(name), settings(name)
    attributes = {
        each["Key"]: each["Value"] for each in made["LoadBalancer"]["LoadBalancerAttributes"]
    }
    idle_s = int(attributes["idle_timeout.timeout_seconds"])
    assert told["request_timeout_s"] <= idle_s < told["keep_alive_s"]
    (container,) = made["GatewayTask"]["ContainerDefinitions"]
    assert told["drain_s"] <= DRAIN_S <= container["StopTimeout"] == STOP_S <= 120


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_roll_out_that_goes_wrong_is_undone(name: str) -> None:
    rules = resources(name)["Gateway"]["DeploymentConfiguration"]
    assert rules["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    watched = [each["Ref"] for each in rules["Alarms"]["AlarmNames"]]
    assert watched == ["GatewayErrorsAlarm", "GatewayUnreadyAlarm"]
    assert rules["Alarms"]["Rollback"] is True
    assert resources(name)["GatewayTargets"]["HealthCheckPath"] == "/ready"


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_service_waits_until_the_load_balancer_leads_to_it(name: str) -> None:
    """ECS refuses a service whose group of targets belongs to no load balancer yet."""
    every: Any = emitted(name).main.template["Resources"]
    for service in ("Gateway", "Ui"):
        if service not in every:
            continue
        (place,) = every[service]["Properties"]["LoadBalancers"]
        group = json.dumps(place["TargetGroupArn"])
        awaited = [every[title]["Properties"] for title in every[service]["DependsOn"]]
        actions = [each.get("DefaultActions") or each["Actions"] for each in awaited]
        assert group in json.dumps(actions)


@pytest.mark.parametrize("name", GATEWAYS)
def test_models_leave_the_gateway_ready_and_have_their_own_endpoint(name: str) -> None:
    told = settings(name)
    engines = {engine["name"]: engine["sagemaker"] for engine in told["engines"]}
    for model in told["models"]:
        assert model["elsewhere"] is True
        assert model["upstream"] == ""
        assert model["engines"] == [model["name"]]
        assert engines[model["name"]]["endpoint"] == "penstock-support-bot"


def test_adapters_are_asked_at_the_components_that_the_stack_makes() -> None:
    made = resources("gateway-managed").values()
    names = {each["InferenceComponentName"] for each in made if "InferenceComponentName" in each}
    told = settings("gateway-managed")
    assert {engine["sagemaker"]["component"] for engine in told["engines"]} == names


def test_http_is_never_served_to_the_internet() -> None:
    for name in GATEWAYS:
        made = resources(name)
        if made["LoadBalancer"]["Scheme"] == "internet-facing":
            assert made["Listener"]["Protocol"] == "HTTPS"
            (action,) = made["PlainListener"]["DefaultActions"]
            assert action["Type"] == "redirect"


def test_state_is_reached_by_the_gateways_alone() -> None:
    made = resources("gateway-managed")
    for title in ("DatabaseGroup", "CountersGroup"):
        (rule,) = made[title]["SecurityGroupIngress"]
        assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": ["GatewayGroup", "GroupId"]}
    assert made["Database"]["StorageEncrypted"] is True
    assert made["DatabaseInstance"]["PubliclyAccessible"] is False
    (container,) = made["GatewayTask"]["ContainerDefinitions"]
    told = {each["Name"]: each["Value"] for each in container["Environment"]}
    assert told["PGSSLMODE"] == "verify-full"


def test_a_prompt_is_not_blocked_for_its_words() -> None:
    for rule in resources("gateway-managed")["Firewall"]["Rules"]:
        if group := rule["Statement"].get("ManagedRuleGroupStatement"):
            counted = {each["Name"]: each["ActionToUse"] for each in group["RuleActionOverrides"]}
            assert all(name.endswith("_BODY") for name in counted)
            assert all(action == {"Count": {}} for action in counted.values())
    names = [rule["Name"] for rule in resources("gateway-managed")["Firewall"]["Rules"]]
    assert names[0] == "too-many-requests"


def test_the_chat_has_login_and_writes_alone() -> None:
    made = resources("gateway-managed")
    (container,) = made["UiTask"]["ContainerDefinitions"]
    told = {each["Name"]: each["Value"] for each in container["Environment"]}
    assert (told["WEBUI_AUTH"], told["ENABLE_SIGNUP"]) == ("true", "false")
    assert told["OPENAI_API_BASE_URL"] == "http://gateway.penstock-support-bot.internal:8080/v1"
    rules = made["Ui"]["DeploymentConfiguration"]
    assert (rules["MinimumHealthyPercent"], rules["MaximumPercent"]) == (0, 100)
    assert "open-webui" in {tenant["name"] for tenant in settings("gateway-managed")["tenants"]}


def test_the_rest_api_streams_and_bounds_each_tenant_by_its_own_limits() -> None:
    made = resources("rest-components")
    for title, each in made.items():
        if title.endswith("Method"):
            assert each["ApiKeyRequired"] is True
            integration = each["Integration"]
            assert integration["ResponseTransferMode"] == "STREAM"
            assert "response-streaming-invocations" in integration["Uri"]["Fn::Sub"]
    plans = {title: each for title, each in made.items() if title.endswith("Plan")}
    throttles = [plan["Throttle"] for plan in plans.values()]
    assert throttles == [
        {"RateLimit": 5, "BurstLimit": 10},
        {"RateLimit": 50, "BurstLimit": 100},
    ]
    assert {plan["Quota"]["Limit"] for plan in plans.values()} == {10_000}
    variables = made["Function"]["Environment"]["Variables"]
    assert variables["AWS_LWA_INVOKE_MODE"] == "response_stream"
    assert settings("rest-components")["registry"] is None


def test_private_subnets_without_nat_reach_every_service_that_is_used() -> None:
    made = resources("gateway-managed")
    assert reached(made) == {
        *("s3", "ecr.api", "ecr.dkr", "logs", "monitoring", "sagemaker.api"),
        *("sagemaker.runtime", "secretsmanager", "sts"),
    }
    assert "NatGateway" not in made
    assert "NatGateway" in resources("gateway")


def test_a_key_that_seals_the_audit_is_reached_without_nat() -> None:
    case = CASES["gateway-managed"] | {"audit": {"to": "s3://audit/x", "kms_key": "alias/audit"}}
    stacks = emit_stacks(manifest_of(**case), Observed("us-east-1"))
    every: Any = stacks.base.template["Resources"]
    assert "kms" in reached({title: each["Properties"] for title, each in every.items()})


def test_batches_lie_in_the_bucket_that_was_named_and_nowhere_else() -> None:
    """The gateway may read and write below their prefix; without one there are no batches."""
    told = {"batches": {"to": "s3://my-files/below", "at_once": 9}}
    stacks = emit_stacks(manifest_of(**CASES["gateway-managed"], **told), Observed("us-east-1"))
    (upload,) = [each for each in stacks.uploads if each.key.endswith("gateway.json")]
    held = json.loads(upload_bytes(upload))["batches"]
    assert (held["bucket"], held["at_once"]) == ("s3://my-files/below", 9)
    every: Any = stacks.main.template["Resources"]
    (policy,) = every["GatewayRole"]["Properties"]["Policies"]
    mine = [
        (each["Action"], arn)
        for each in policy["PolicyDocument"]["Statement"]
        for arn in each["Resource"]
        if "my-files" in json.dumps(arn)
    ]
    below, whole = mine
    assert set(below[0]) == {
        *("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
    }
    assert "my-files/below/*" in json.dumps(below[1])
    assert whole[0] == ["s3:ListBucket"]
    for name in FRONTS:
        assert settings(name).get("batches") is None


def reached(made: dict[str, Any]) -> set[str]:
    """The services that a network's endpoints lead to."""
    return {
        each["ServiceName"]["Fn::Sub"].removeprefix("com.amazonaws.${AWS::Region}.")
        for each in made.values()
        if "ServiceName" in each and "VpcEndpointType" in each
    }
