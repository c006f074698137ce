"""API Gateway, Lambda, WAF."""

import io
import zipfile
from typing import Any

from penstock.rehearsal.cloudformation.kinds import Api, Properties, Scene
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
        client.put_integration(**where, **{INTEGRATION[k]: v for k, v in given.items()})
        for each in integration.get("IntegrationResponses", ()):
            told = {
                "statusCode": str(each["StatusCode"]),
                "responseTemplates": each.get("ResponseTemplates", {}),
            }
            client.put_integration_response(**where, **told)


def _settle_stage(scene: Scene, made: Made) -> None:
    changes: list[dict[str, str]] = []
    for each in made.properties.get("MethodSettings", ()):
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
    if changes:
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


def _code(scene: Scene, wish: Properties) -> Properties:
    code = dict(wish.get("Code", {}))
    if "ZipFile" in code:
        code["ZipFile"] = zipped(code["ZipFile"])
    return {**wish, "Code": code}


def zipped(text: str) -> bytes:
    """Return the zip that CloudFormation makes of inline code: one file, `index.py`."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("index.py", text)
    return held.getvalue()


def _code_again(scene: Scene, made: Made) -> None:
    """On a change, hand the code on too."""
    client, code = scene.client("lambda"), _code(scene, made.properties)["Code"]
    known: dict[str, Any] = {
        name: code[name] for name in ("S3Bucket", "S3Key", "ZipFile", "ImageUri") if name in code
    }
    client.update_function_code(FunctionName=made.physical_id, **known)


def _permit(scene: Scene, wish: Properties) -> Properties:
    return {**wish, "StatementId": scene.generate(90, lower=False)}


KINDS = {
    "AWS::ApiGateway::RestApi": Api(
        "apigateway", "create_rest_api", "id", {"RestApiId": "id"}, name="Name", after=_root,
        delete="delete_rest_api", delete_by={"restApiId": "@ref"},
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
        apart=frozenset({"MethodSettings", "AccessLogSetting"}), update_apart_only=True,
        delete="delete_stage", delete_by={"restApiId": "=RestApiId", "stageName": "@ref"},
    ),
    "AWS::ApiGateway::ApiKey": Api(
        "apigateway", "create_api_key", "id", {"APIKeyId": "id"}, name="Name",
        prepare=_enabled, delete="delete_api_key", delete_by={"apiKey": "@ref"},
    ),
    "AWS::ApiGateway::UsagePlan": Api(
        "apigateway", "create_usage_plan", "id", {"Id": "id"}, name="UsagePlanName",
        names={"UsagePlanName": "name"}, prepare=_whole_plan,
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
    "AWS::Lambda::Function": Api(
        "lambda", "create_function", "=FunctionName", {"Arn": "FunctionArn"},
        name="FunctionName", prepare=_code, update="update_function_configuration",
        delete="delete_function", delete_by={"FunctionName": "@ref"},
        after=_code_again,
    ),
    "AWS::Lambda::Permission": Api(
        "lambda", "add_permission", "=StatementId", tags="", prepare=_permit,
        delete="remove_permission",
        delete_by={"FunctionName": "=FunctionName", "StatementId": "@ref"},
    ),
    "AWS::Lambda::LayerVersion": Api(
        "lambda", "publish_layer_version", "LayerVersionArn",
        {"LayerVersionArn": "LayerVersionArn", "Version": "Version"}, tags="", name="LayerName",
        delete="delete_layer_version",
        delete_by={"LayerName": "=LayerName", "VersionNumber": "=Version"},
    ),
    "AWS::Lambda::EventInvokeConfig": Api(
        "lambda", "put_function_event_invoke_config", "=FunctionName", tags="",
        update="put_function_event_invoke_config",
        delete="delete_function_event_invoke_config", delete_by={"FunctionName": "=FunctionName"},
    ),
    "AWS::WAFv2::WebACL": Api(
        "wafv2", "create_web_acl", "Summary.Id",
        {"Arn": "Summary.ARN", "Id": "Summary.Id", "LockToken": "Summary.LockToken"},
        name="Name", delete="delete_web_acl",
        delete_by={"Name": "=Name", "Scope": "=Scope", "Id": "@ref", "LockToken": "=LockToken"},
    ),
    "AWS::WAFv2::WebACLAssociation": Api(
        "wafv2", "associate_web_acl", "=ResourceArn", tags="",
        delete="disassociate_web_acl", delete_by={"ResourceArn": "=ResourceArn"},
    ),
}  # fmt: skip
