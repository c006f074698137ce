"""A REST API answers: keys, usage plans, and a function that runs in a process of its own."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.gateway.gateway_process import ALICE, settings_for
from tests.rehearsal.account import Account, failures, wait_for
from tests.rehearsal.test_kinds import FRONTED
from tests.rehearsal.writing import Tree, att, of, ref

from penstock.rehearsal.engines import EngineProcess

MODEL = "penstock-tiny"
ECHO = """
import json, os

def handler(event, context):
    if event["path"] == "/broken":
        raise ValueError("it broke")
    body = {"path": event["path"], "said": event["body"], "var": os.environ["GREETING"],
            "proxy": (event["pathParameters"] or {}).get("proxy")}
    return {"statusCode": 201, "headers": {"X-Mine": "yes"}, "body": json.dumps(body)}
"""
URI = (
    "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Function.Arn}"
    "/invocations"
)
STREAMED = (
    "arn:aws:apigateway:${AWS::Region}:lambda:path/2021-11-15/functions/${Function.Arn}/"
    "response-streaming-invocations"
)


def api(function: Tree, uri: str = URI, **integration: Any) -> Tree:
    """An API with one function behind every path, a key, and a plan of three requests in all.

    The plan lets in one more every 1000 s, so that no machine is too slow to ask too often.
    """
    names = ("Role", "Permission", "Stage", "Key", "Plan", "PlanKey", "Api")
    stack = deepcopy({name: FRONTED[name] for name in names})
    stack["Stage"]["Properties"].pop("MethodSettings")
    stack["Function"] = function
    stack["Path"] = of(
        "ApiGateway::Resource", RestApiId=ref("Api"), ParentId=att("Api", "RootResourceId"),
        PathPart="{proxy+}",
    )  # fmt: skip
    stack["Method"] = of(
        "ApiGateway::Method", RestApiId=ref("Api"), ResourceId=ref("Path"), HttpMethod="ANY",
        AuthorizationType="NONE", ApiKeyRequired=True,
        Integration={
            "Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": {"Fn::Sub": uri},
            **integration,
        },
    )  # fmt: skip
    stack["Deployment"] = of("ApiGateway::Deployment", RestApiId=ref("Api"))
    stack["Deployment"]["DependsOn"] = "Method"
    stack["Plan"]["Properties"] |= {
        "Throttle": {"RateLimit": 0.001, "BurstLimit": 3},
        "Quota": {"Limit": 1000, "Period": "DAY"},
    }
    outputs = {
        "Host": {"Value": {"Fn::Sub": "${Api}.execute-api.${AWS::Region}.amazonaws.com"}},
        "Key": {"Value": ref("Key")},
        "Name": {"Value": ref("Function")},
    }
    return {"Resources": stack, "Outputs": outputs}


def echo(**more: Any) -> Tree:
    return of(
        "Lambda::Function", Runtime="python3.12", Handler="index.handler",
        Role=att("Role", "Arn"), Code={"ZipFile": ECHO},
        Environment={"Variables": {"GREETING": "hello"}}, Timeout=30, **more,
    )  # fmt: skip


def reach(aws: Account, told: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The base URL of the stage, and the headers with the key."""
    client = aws.client("apigateway")
    key = client.get_api_key(apiKey=told["Key"], includeValue=True)["value"]
    base = aws.order("addresses", method="GET")[told["Host"]]
    return f"{base}/prod", {"x-api-key": key}


def test_a_function_answers_behind_key_and_plan(aws: Account) -> None:
    stack = aws.deploy("rest", api(echo()))
    assert failures(aws, stack) == []
    base, key = reach(aws, aws.outputs(stack))
    answer = httpx.post(f"{base}/any/where", content=b"words", headers=key, timeout=60)
    assert answer.status_code == 201, answer.text
    assert answer.headers["x-mine"] == "yes"
    said = {"path": "/any/where", "said": "words", "var": "hello", "proxy": "any/where"}
    assert answer.json() == said

    bare = httpx.post(f"{base}/any", timeout=60)
    assert (bare.status_code, bare.json()) == (403, {"message": "Forbidden"})
    wrong = httpx.post(f"{base}/any", headers={"x-api-key": "wrong"}, timeout=60)
    assert wrong.status_code == 403
    elsewhere = httpx.post(f"{base.removesuffix('prod')}dev/any", headers=key, timeout=60)
    assert elsewhere.json() == {"message": "Forbidden"}
    root = httpx.get(f"{base}/", headers=key, timeout=60)
    assert root.json() == {"message": "Missing Authentication Token"}
    assert httpx.get(f"{base}/broken", headers=key, timeout=60).status_code == 502
    name = aws.outputs(stack)["Name"]

    def written() -> bool:
        logs, group = aws.client("logs"), f"/aws/lambda/{name}"
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return False
        events = logs.filter_log_events(logGroupName=group)["events"]
        return any("it broke" in each["message"] for each in events)

    wait_for(written)
    third, throttled = (httpx.get(f"{base}/any", headers=key, timeout=60) for _ in range(2))
    assert (third.status_code, throttled.status_code) == (201, 429)
    assert throttled.json() == {"message": "Too Many Requests"}
    assert throttled.headers["x-amzn-errortype"] == "TooManyRequestsException"
    assert aws.destroy("rest")["StackStatus"] == "DELETE_COMPLETE"
    gone = httpx.get(f"{base}/any", headers=key, timeout=60)
    assert gone.status_code == 404
    aws.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")


def test_a_quota_ends(aws: Account) -> None:
    template = api(echo())
    plan = template["Resources"]["Plan"]["Properties"]
    plan |= {"Throttle": {"RateLimit": 100, "BurstLimit": 100}}
    plan |= {"Quota": {"Limit": 2, "Period": "DAY"}}
    stack = aws.deploy("quota", template)
    base, key = reach(aws, aws.outputs(stack))
    said = [httpx.get(f"{base}/any", headers=key, timeout=60) for _ in range(3)]
    assert [each.status_code for each in said] == [201, 201, 429]
    assert said[2].json() == {"message": "Limit Exceeded"}
    name = aws.outputs(stack)["Name"]
    assert aws.destroy("quota")["StackStatus"] == "DELETE_COMPLETE"
    logs = aws.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")
    for each in logs["logGroups"]:
        aws.client("logs").delete_log_group(logGroupName=each["logGroupName"])


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Path]:
    engine = EngineProcess(tmp_path / "engine.log")
    assert engine.wait_ready()
    path = tmp_path / "settings.json"
    path.write_bytes(msgspec.json.encode(settings_for({"one": engine.url}, MODEL)))
    yield path
    engine.stop()


def test_the_gateway_streams_through_a_function(aws: Account, settings: Path) -> None:
    function = of(
        "Lambda::Function", PackageType="Image", Role=att("Role", "Arn"), Timeout=900,
        Code={"ImageUri": "public.ecr.aws/ours/gateway:1"},
        ImageConfig={"Command": ["--settings", str(settings)]},
        LoggingConfig={"LogGroup": ref("Logs")},
        Environment={
            "Variables": {
                "AWS_LWA_READINESS_CHECK_PATH": "/health",
                "AWS_LWA_INVOKE_MODE": "response_stream",
            }
        },
    )  # fmt: skip
    template = api(function, STREAMED, ResponseTransferMode="STREAM")
    template["Resources"]["Logs"] = of("Logs::LogGroup")
    stack = aws.deploy("lambda", template)
    assert failures(aws, stack) == []
    base, key = reach(aws, aws.outputs(stack))
    headers = {**key, "Authorization": f"Bearer {ALICE}"}
    ask = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}
    with httpx.stream(
        "POST", f"{base}/v1/chat/completions", json={**ask, "stream": True}, headers=headers,
        timeout=60,
    ) as streamed:  # fmt: skip
        assert streamed.status_code == 200, streamed.read()
        lines = [line for line in streamed.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[0].removeprefix("data: "))["object"] == "chat.completion.chunk"
    assert aws.destroy("lambda")["StackStatus"] == "DELETE_COMPLETE"
