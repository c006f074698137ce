"""Lambda and WAF."""

import io
import zipfile
from typing import Any

from penstock.rehearsal.cloudformation.kinds import Api, Properties, Scene
from penstock.rehearsal.cloudformation.records import Made
from penstock.rehearsal.cloudformation.shaping import parameters


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
    if group := made.properties.get("LoggingConfig", {}).get("LogGroup"):
        scene.cloud.log_groups[made.physical_id] = group


def _permit(scene: Scene, wish: Properties) -> Properties:
    return {**wish, "StatementId": scene.generate(90, lower=False)}


def _amend_acl(scene: Scene, made: Made, wish: Properties) -> None:
    waf = scene.client("wafv2")
    handed = {name: value for name, value in wish.items() if name != "Tags"}
    shape = waf.meta.service_model.operation_model("UpdateWebACL").input_shape
    named = {"Name": made.attributes["Name"], "Id": made.physical_id}
    where = {**named, "LockToken": _lock(scene, made)}
    waf.update_web_acl(**parameters(handed, shape, {}, "web ACL"), **where)


def _lock_again(scene: Scene, made: Made) -> None:
    made.attributes["LockToken"] = _lock(scene, made)


def _lock(scene: Scene, made: Made) -> str:
    found = scene.client("wafv2").get_web_acl(
        Name=made.attributes["Name"], Scope=made.attributes["Scope"], Id=made.physical_id
    )
    return str(found["LockToken"])


def _log_requests(scene: Scene, made: Made) -> None:
    wish = {name: value for name, value in made.properties.items() if name != "Tags"}
    scene.client("wafv2").put_logging_configuration(LoggingConfiguration=wish)


KINDS = {
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
        name="Name", amend=_amend_acl, before_delete=_lock_again, delete="delete_web_acl",
        delete_by={"Name": "=Name", "Scope": "=Scope", "Id": "@ref", "LockToken": "=LockToken"},
    ),
    "AWS::WAFv2::WebACLAssociation": Api(
        "wafv2", "associate_web_acl", "=ResourceArn", tags="",
        delete="disassociate_web_acl", delete_by={"ResourceArn": "=ResourceArn"},
    ),
    "AWS::WAFv2::LoggingConfiguration": Api(
        "wafv2", "", "=ResourceArn", tags="", after=_log_requests, update_apart_only=True,
        delete="delete_logging_configuration", delete_by={"ResourceArn": "=ResourceArn"},
    ),
}  # fmt: skip
