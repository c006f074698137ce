"""API Gateway's REST APIs: what they are made of, their stages, keys and usage plans."""

from penstock.rehearsal.cloudformation.kinds import Api, Properties, ResourceFailed, Scene
from penstock.rehearsal.cloudformation.records import Made

INTEGRATION = {
    "IntegrationHttpMethod": "integrationHttpMethod",
    "Type": "type",
    "Uri": "uri",
    "Credentials": "credentials",
    "PassthroughBehavior": "passthroughBehavior",
    "TimeoutInMillis": "timeoutInMillis",
    "ResponseTransferMode": "responseTransferMode",
    "RequestParameters": "requestParameters",
    "RequestTemplates": "requestTemplates",
    "ContentHandling": "contentHandling",
    "CacheNamespace": "cacheNamespace",
    "CacheKeyParameters": "cacheKeyParameters",
}


def _root(scene: Scene, made: Made) -> None:
    found = scene.client("apigateway").get_resources(restApiId=made.physical_id)["items"]
    made.attributes["RootResourceId"] = next(each["id"] for each in found if each["path"] == "/")


def _integrate(scene: Scene, made: Made) -> None:
    wish, client = made.properties, scene.client("apigateway")
    where = {
        "restApiId": wish["RestApiId"],
        "resourceId": wish["ResourceId"],
        "httpMethod": wish["HttpMethod"],
    }
    for each in wish.get("MethodResponses", ()):
        client.put_method_response(**where, statusCode=str(each["StatusCode"]))
    if integration := wish.get("Integration"):
        given = {k: v for k, v in integration.items() if k != "IntegrationResponses"}
        wanted = given.get("ResponseTransferMode", "BUFFERED") == "STREAM"
        if wanted != given.get("Uri", "").endswith("/response-streaming-invocations"):
            raise ResourceFailed("Invalid Lambda integration: its URI and transfer mode differ")
        client.put_integration(**where, **{INTEGRATION[k]: v for k, v in given.items()})
        for each in integration.get("IntegrationResponses", ()):
            told = {
                "statusCode": str(each["StatusCode"]),
                "responseTemplates": each.get("ResponseTemplates", {}),
            }
            client.put_integration_response(**where, **told)


def _method_settings(wish: Properties) -> list[dict[str, str]]:
    changes: list[dict[str, str]] = []
    for each in wish.get("MethodSettings", ()):
        at = f"/{each.get('ResourcePath', '/*').strip('/')}/{each.get('HttpMethod', '*')}"
        settings = {
            "LoggingLevel": "logging/loglevel",
            "MetricsEnabled": "metrics/enabled",
            "ThrottlingRateLimit": "throttling/rateLimit",
            "ThrottlingBurstLimit": "throttling/burstLimit",
        }
        changes += [
            {"op": "replace", "path": f"{at}/{path}", "value": str(each[name])}
            for name, path in settings.items()
            if name in each
        ]
    if logged := wish.get("AccessLogSetting"):
        changes += [
            {
                "op": "replace",
                "path": f"/accessLogSettings/{name[:1].lower()}{name[1:]}",
                "value": v,
            }
            for name, v in logged.items()
        ]
    return changes


def _settle_stage(scene: Scene, made: Made) -> None:
    if changes := _method_settings(made.properties):
        scene.client("apigateway").update_stage(
            restApiId=made.properties["RestApiId"],
            stageName=made.physical_id,
            patchOperations=changes,
        )


def _set_account(scene: Scene, made: Made) -> None:
    scene.client("apigateway").update_account(
        patchOperations=[
            {
                "op": "replace",
                "path": "/cloudwatchRoleArn",
                "value": made.properties.get("CloudWatchRoleArn", ""),
            }
        ]
    )


def _enabled(_: Scene, wish: Properties) -> Properties:
    return {"Enabled": True, **wish}


def _whole_plan(_: Scene, wish: Properties) -> Properties:
    stages = [
        {name: value for name, value in each.items() if name != "Throttle"}
        for each in wish.get("ApiStages", ())
    ]
    return {**wish, **({"ApiStages": stages} if stages else {})}


def _patched(names: dict[str, str], old: Properties, new: Properties) -> list[dict[str, str]]:
    """Return API Gateway's patch for the properties that differ; raises for one it cannot."""
    changes = []
    for name in sorted(set(old) | set(new)):
        if old.get(name) == new.get(name) or name == "Tags":
            continue
        if name not in names or name not in new:
            raise ResourceFailed(f"the stand-in cannot change {name} in place")
        text = str(new[name])
        value = text.lower() if isinstance(new[name], bool) else text
        changes.append({"op": "replace", "path": names[name], "value": value})
    return changes


def _amend_api(scene: Scene, made: Made, wish: Properties) -> None:
    names = {"Name": "/name", "Description": "/description", "Policy": "/policy"}
    scene.client("apigateway").update_rest_api(
        restApiId=made.physical_id, patchOperations=_patched(names, made.properties, wish)
    )


def _amend_stage(scene: Scene, made: Made, wish: Properties) -> None:
    names = {
        "DeploymentId": "/deploymentId",
        "Description": "/description",
        "TracingEnabled": "/tracingEnabled",
    }
    told = {"MethodSettings", "AccessLogSetting"}
    old, new = ({k: v for k, v in each.items() if k not in told} for each in _both(made, wish))
    scene.client("apigateway").update_stage(
        restApiId=wish["RestApiId"],
        stageName=made.physical_id,
        patchOperations=_patched(names, old, new) + _method_settings(wish),
    )


def _amend_key(scene: Scene, made: Made, wish: Properties) -> None:
    names = {"Name": "/name", "Description": "/description", "Enabled": "/enabled"}
    scene.client("apigateway").update_api_key(
        apiKey=made.physical_id, patchOperations=_patched(names, made.properties, wish)
    )


def _amend_plan(scene: Scene, made: Made, wish: Properties) -> None:
    nested = {"Throttle": "/throttle", "Quota": "/quota"}
    names = {"UsagePlanName": "/name", "Description": "/description"}
    old, new = ({k: v for k, v in each.items() if k not in nested} for each in _both(made, wish))
    changes = _patched(names, old, new)
    for name, path in nested.items():
        for key, value in wish.get(name, {}).items():
            at = f"{path}/{key[:1].lower()}{key[1:]}"
            changes.append({"op": "replace", "path": at, "value": str(value)})
    scene.client("apigateway").update_usage_plan(
        usagePlanId=made.physical_id, patchOperations=changes
    )


def _both(made: Made, wish: Properties) -> tuple[Properties, Properties]:
    return made.properties, wish


def _put_response(scene: Scene, made: Made) -> None:
    wish = made.properties
    told = {
        "responseParameters": wish.get("ResponseParameters", {}),
        "responseTemplates": wish.get("ResponseTemplates", {}),
    }
    if "StatusCode" in wish:
        told["statusCode"] = str(wish["StatusCode"])
    scene.client("apigateway").put_gateway_response(
        restApiId=wish["RestApiId"], responseType=wish["ResponseType"], **told
    )


KINDS = {
    "AWS::ApiGateway::RestApi": Api(
        "apigateway", "create_rest_api", "id", {"RestApiId": "id"}, name="Name", after=_root,
        names={"ApiKeySourceType": "apiKeySource"},
        amend=_amend_api, delete="delete_rest_api", delete_by={"restApiId": "@ref"},
    ),
    "AWS::ApiGateway::Resource": Api(
        "apigateway", "create_resource", "id", {"ResourceId": "id"}, tags="",
        delete="delete_resource", delete_by={"restApiId": "=RestApiId", "resourceId": "@ref"},
    ),
    "AWS::ApiGateway::Method": Api(
        "apigateway", "put_method", "=httpMethod", tags="",
        apart=frozenset({"Integration", "MethodResponses"}), after=_integrate,
        update="put_method",
        delete="delete_method",
        delete_by={
            "restApiId": "=RestApiId", "resourceId": "=ResourceId", "httpMethod": "=HttpMethod",
        },
    ),
    "AWS::ApiGateway::Deployment": Api(
        "apigateway", "create_deployment", "id", {"DeploymentId": "id"}, tags="",
        delete="delete_deployment",
        delete_by={"restApiId": "=RestApiId", "deploymentId": "@ref"},
    ),
    "AWS::ApiGateway::Stage": Api(
        "apigateway", "create_stage", "=stageName", after=_settle_stage,
        apart=frozenset({"MethodSettings", "AccessLogSetting"}), amend=_amend_stage,
        delete="delete_stage", delete_by={"restApiId": "=RestApiId", "stageName": "@ref"},
    ),
    "AWS::ApiGateway::ApiKey": Api(
        "apigateway", "create_api_key", "id", {"APIKeyId": "id"}, name="Name",
        prepare=_enabled, amend=_amend_key,
        delete="delete_api_key", delete_by={"apiKey": "@ref"},
    ),
    "AWS::ApiGateway::UsagePlan": Api(
        "apigateway", "create_usage_plan", "id", {"Id": "id"}, name="UsagePlanName",
        names={"UsagePlanName": "name"}, prepare=_whole_plan, amend=_amend_plan,
        delete="delete_usage_plan", delete_by={"usagePlanId": "@ref"},
    ),
    "AWS::ApiGateway::UsagePlanKey": Api(
        "apigateway", "create_usage_plan_key", "id", {"Id": "id"}, tags="",
        delete="delete_usage_plan_key",
        delete_by={"usagePlanId": "=UsagePlanId", "keyId": "=KeyId"},
    ),
    "AWS::ApiGateway::Account": Api(
        "apigateway", "", "!account", after=_set_account, update_apart_only=True,
    ),
    "AWS::ApiGateway::RequestValidator": Api(
        "apigateway", "create_request_validator", "id", {"RequestValidatorId": "id"}, tags="",
        delete="delete_request_validator",
        delete_by={"restApiId": "=RestApiId", "requestValidatorId": "@ref"},
    ),
    "AWS::ApiGateway::GatewayResponse": Api(
        "apigateway", "", "=ResponseType", tags="", after=_put_response, update_apart_only=True,
        delete="delete_gateway_response",
        delete_by={"restApiId": "=RestApiId", "responseType": "=ResponseType"},
    ),
}  # fmt: skip
