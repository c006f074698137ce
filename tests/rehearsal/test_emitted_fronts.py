"""The fronts that Penstock emits: made by the stand-in, asked by a client, deleted again."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from tests.rehearsal.account import Account, failures, wait_for
from tests.rehearsal.test_stacks import things
from tests.targets.sagemaker.cases import INSIDE, manifest_of

from penstock.targets.aws.stack import Emitted, Stack
from penstock.targets.sagemaker.handbook import upload_bytes
from penstock.targets.sagemaker.stacks import Observed
from penstock.wiring.cloud import emit_stacks

NETWORK = {"network": {"own": True}}
FRONTS: dict[str, dict[str, Any]] = {
    "gateway": {"front": INSIDE},
    "gateway-whole": {
        "front": INSIDE | {"state": "managed", "tasks_max": 2, "waf": True},
        "ui": "open-webui",
        "target": {"kms_key": "own", "network": {"own": True}},
    },
    "rest": {"front": {"kind": "rest", "waf": True}, "tenants": {"org-a": {}, "org.b": {}}},
}


class Front:
    """A deployed front: its addresses and keys."""

    def __init__(self, aws: Account, sections: dict[str, Any]) -> None:
        self._aws = aws
        manifest = manifest_of(**{"model": {"id": "embedded"}} | sections)
        self.model = manifest.served_model
        emitted = emit_stacks(manifest, Observed("us-east-1"))
        told = self._put(emitted.base, {})
        self._bring(emitted, told)
        self.outputs = self._put(emitted.main, told)
        self.stacks = (emitted.main.name, emitted.base.name)
        self.bucket = told["BucketName"]

    def run(self, name: str) -> str:
        """What the command in an output shows; its words are those of the AWS CLI."""
        words = self.outputs[name].split()
        asked = {
            word.removeprefix("--"): value
            for word, value in pairwise(words)
            if word.startswith("--")
        }
        if words[1:3] == ["secretsmanager", "get-secret-value"]:
            client = self._aws.client("secretsmanager")
            return str(client.get_secret_value(SecretId=asked["secret-id"])["SecretString"])
        assert words[1:3] == ["apigateway", "get-api-key"]
        client = self._aws.client("apigateway")
        return str(client.get_api_key(apiKey=asked["api-key"], includeValue=True)["value"])

    def address(self) -> str:
        """Where the stand-in listens for the front's address."""
        base = self.outputs["OpenAIBaseUrl"]
        host, _, path = base.partition("://")[2].partition("/")
        return f"{self._aws.order('addresses', method='GET')[host]}/{path}"

    def end(self) -> None:
        s3 = self._aws.client("s3")
        assert self._aws.destroy(self.stacks[0])["StackStatus"] == "DELETE_COMPLETE"
        for each in s3.list_objects_v2(Bucket=self.bucket).get("Contents", ()):
            s3.delete_object(Bucket=self.bucket, Key=each["Key"])
        assert self._aws.destroy(self.stacks[1])["StackStatus"] == "DELETE_COMPLETE"

    def _put(self, stack: Stack, told: dict[str, str]) -> dict[str, str]:
        declared: Any = stack.template.get("Parameters", {})
        given = {name: dict(stack.parameters).get(name) or told[name] for name in declared}
        made = self._aws.deploy(
            stack.name,
            dict(stack.template),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
            Tags=[{"Key": k, "Value": v} for k, v in stack.tags.items()],
        )
        assert failures(self._aws, made) == []
        assert made["StackStatus"] == "CREATE_COMPLETE"
        return self._aws.outputs(made)

    def _bring(self, emitted: Emitted, told: dict[str, str]) -> None:
        s3, codebuild = self._aws.client("s3"), self._aws.client("codebuild")
        for upload in emitted.uploads:
            s3.put_object(Bucket=told["BucketName"], Key=upload.key, Body=upload_bytes(upload))
        for build in emitted.builds:
            begun = codebuild.start_build(
                projectName=told["BuildProject"],
                sourceLocationOverride=f"{told['BucketName']}/{build.source}",
                environmentVariablesOverride=[{"name": "IMAGE_TAG", "value": build.tag}],
            )["build"]

            def over(begun: str = begun["id"]) -> Any:
                (found,) = codebuild.batch_get_builds(ids=[begun])["builds"]
                # An answer is made member by member, `buildComplete` last: it may end meanwhile.
                return None if found["buildStatus"] == "IN_PROGRESS" else found

            assert wait_for(over)["buildStatus"] == "SUCCEEDED"


@pytest.fixture(params=FRONTS)
def front(aws: Account, request: pytest.FixtureRequest) -> Iterator[Front]:
    before = things(aws)
    made = Front(aws, FRONTS[request.param])
    yield made
    made.end()
    assert things(aws) == before


def test_a_front_comes_answers_and_goes(front: Front) -> None:
    keys = {"Authorization": f"Bearer {front.run('ApiKeyCommand')}"}
    if "UsageKeyCommand" in front.outputs:
        keys["x-api-key"] = front.run("UsageKeyCommand")
    asked = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    asked["model"] = front.model
    with httpx.Client(base_url=front.address(), headers=keys, timeout=60) as client:
        named = client.get("/models")
        assert named.status_code == 200, named.text
        assert front.model in {each["id"] for each in named.json()["data"]}

        def first() -> httpx.Response | None:
            """A gateway that was there before its endpoint asks to come again."""
            answer = client.post("/chat/completions", json=asked)
            return (
                None if answer.status_code == 503 and "retry-after" in answer.headers else answer
            )

        answer = wait_for(first)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"]
        lines = [
            line
            for line in client.post(
                "/chat/completions", json=asked | {"stream": True}
            ).iter_lines()
            if line.startswith("data: ")
        ]
        assert lines[-1] == "data: [DONE]"
        wrong = keys | {"Authorization": "Bearer no-key-of-anybody"}
        assert client.get("/models", headers=wrong).status_code == 401
