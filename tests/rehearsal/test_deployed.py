"""What is deployed, as its user sees it: status, logs, invoke, boto3, the `openai` SDK."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from tests.rehearsal.account import Account, wait_for
from tests.rehearsal.deployments import CHAT, Deployments, signed_in
from tests.rehearsal.test_crashes import begin, end
from tests.rehearsal.test_runtime import parts

from penstock.cli.output import ExitCode
from penstock.rehearsal.adapters import archive

NAME = "asked"
WORDS = "What is the capital of France?"


@pytest.fixture(scope="module")
def asked(aws: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A deployment of a base with an adapter, by the real command."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="asked-adapters")
    s3.put_object(Bucket="asked-adapters", Key="org-a.tar.gz", Body=archive(1))
    file = tmp_path_factory.mktemp(NAME) / "penstock.yaml"
    manifest = {
        "name": NAME,
        "engine": {"kind": "vllm"},
        "target": {
            "kind": "sagemaker",
            "region": "us-east-1",
            "instances": ["g5.xlarge"],
            "mode": "components",
        },
        "scale": {"min": 1, "max": 2},
        "adapters": {"org-a": "s3://asked-adapters/org-a.tar.gz"},
    }
    file.write_text(json.dumps(manifest))
    code, err = end(begin(aws, file, "deploy", aws.url))
    assert code == 0, err
    assert "penstock-asked-org-a answers in" in err
    yield file
    code, err = end(begin(aws, file, "destroy", aws.url))
    assert code == 0, err
    s3.delete_object(Bucket="asked-adapters", Key="org-a.tar.gz")
    s3.delete_bucket(Bucket="asked-adapters")


@pytest.fixture
def commands(asked: Any, deployments: Deployments) -> Deployments:
    deployments.file = asked
    return deployments


def ask(commands: Deployments, command: str, *arguments: str, code: int = 0) -> str:
    return commands.run_with(command, "--file", str(commands.file), *arguments, code=code)[0]


def test_the_status_tells_what_runs_and_costs(commands: Deployments) -> None:
    out = ask(commands, "status")
    assert "penstock-asked: CREATE_COMPLETE" in out
    assert "1 of 1 ml.g5.xlarge" in out
    assert "penstock-asked-base is InService, copies: 1" in out
    assert "cost now: 1.4" in out
    told = json.loads(ask(commands, "status", "--json"))
    assert told["serves"]
    assert told["outputs"]["EndpointName"] == "penstock-asked"


def test_the_logs_are_the_containers(commands: Deployments) -> None:
    line = json.loads(ask(commands, "logs", "engine", "-n", "1", "--json"))
    assert line["name"] == "engine"
    assert "penstock-tiny" in line["line"]


def test_logs_are_followed(aws: Account, commands: Deployments) -> None:
    logs, group = aws.client("logs"), "/aws/sagemaker/InferenceComponents/penstock-asked-base"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "penstock.cli.app", "logs", "--follow", "-n", "0", "engine"),
            *("--file", str(commands.file)),
        ],
        env={**os.environ, **signed_in(aws)},
        stdout=subprocess.PIPE,
        text=True,
    )
    streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
    stream = streams[0]["logStreamName"]
    assert process.stdout

    def put() -> None:
        at = int(time.time() * 1000)
        event = {"timestamp": at, "message": f"later {at}"}
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])

    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.wait(0.2):
            put()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        assert "engine: later" in process.stdout.readline()
    finally:
        stop.set()
        writer.join()
        process.kill()
        process.wait()
        process.stdout.close()


def test_invoke_asks_the_model_and_its_adapter(commands: Deployments) -> None:
    options = ("--max-tokens", "12", "--temperature", "0")
    base = ask(commands, "invoke", WORDS, *options)
    adapter = ask(commands, "invoke", WORDS, *options, "--model", "org-a")
    assert base.strip()
    assert adapter != base
    assert ask(commands, "invoke", WORDS, *options, "--stream") == base
    told = json.loads(ask(commands, "invoke", WORDS, *options, "--json"))
    assert told["choices"][0]["message"]["content"].strip() == base.strip()
    ask(commands, "invoke", WORDS, "--model", "org-z", code=ExitCode.USAGE)


def test_a_difference_tells_of_adapters_by_their_names(commands: Deployments) -> None:
    other = json.loads(commands.file.read_text())
    other["adapters"] = {"org-b": "s3://asked-adapters/org-a.tar.gz"}
    file = commands.file.with_name("other.yaml")
    file.write_text(json.dumps(other))
    out, _ = commands.run_with("diff", str(file))
    assert "penstock-asked-org-a" in out


def test_boto3_asks_what_was_deployed(aws: Account, asked: Any) -> None:
    runtime = aws.client("sagemaker-runtime")
    where = {
        "EndpointName": "penstock-asked",
        "InferenceComponentName": "penstock-asked-base",
        "ContentType": "application/json",
    }
    answer = runtime.invoke_endpoint(**where, Body=json.dumps(CHAT))
    assert json.loads(answer["Body"].read())["choices"]
    streamed = runtime.invoke_endpoint_with_response_stream(
        **where, Body=json.dumps({**CHAT, "stream": True})
    )
    assert b"".join(parts(streamed)).endswith(b"data: [DONE]\n\n")


def test_the_openai_sdk_asks_what_was_deployed(aws: Account, commands: Deployments) -> None:
    token, _ = commands.run_with("token", "--region", "us-east-1")
    path = "/endpoints/penstock-asked/inference-components/penstock-asked-base/openai/v1"
    with openai.OpenAI(base_url=aws.url + path, api_key=token.strip()) as client:
        words: Any = [{"role": "user", "content": WORDS}]
        whole = client.chat.completions.create(model="", messages=words, max_tokens=8)
        assert whole.choices[0].message.content
        with client.chat.completions.create(
            model="", messages=words, max_tokens=8, stream=True
        ) as stream:
            assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


def test_an_asynchronous_deployment_answers_by_s3(aws: Account, deployments: Deployments) -> None:
    deployments.write("later", target={"mode": "async"})
    told = deployments.deploy()
    bucket = told["outputs"]["CurlExample"].split("s3://")[1].split("/")[0]
    s3 = aws.client("s3")
    s3.put_object(Bucket=bucket, Key="async/questions/1.json", Body=json.dumps(CHAT))
    answer = aws.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName="penstock-later",
        InputLocation=f"s3://{bucket}/async/questions/1.json",
        ContentType="application/json",
    )
    key = answer["OutputLocation"].removeprefix(f"s3://{bucket}/")
    wait_for(lambda: s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents"))
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert json.loads(body)["choices"]
    deployments.destroy()


def test_adapters_come_and_go_beside_each_other(aws: Account, deployments: Deployments) -> None:
    """One that goes must not move the others."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="moving-adapters")
    for name in ("a", "b", "c"):
        s3.put_object(Bucket="moving-adapters", Key=f"{name}.tar.gz", Body=archive(ord(name)))
    sections: Any = {"target": {"mode": "components"}, "scale": {"min": 1, "max": 2}}
    for names in ("ab", "bc"):
        adapters = {name: f"s3://moving-adapters/{name}.tar.gz" for name in names}
        deployments.write("moving", **sections, adapters=adapters)
        _, err = deployments.run("deploy", "--yes")
        for name in names:
            assert f"penstock-moving-{name} answers in" in err
    listed = aws.client("sagemaker").list_inference_components(
        EndpointNameEquals="penstock-moving"
    )["InferenceComponents"]
    assert {each["InferenceComponentName"] for each in listed} == {
        "penstock-moving-base", "penstock-moving-b", "penstock-moving-c",
    }  # fmt: skip
    deployments.destroy()
    for name in ("a", "b", "c"):
        s3.delete_object(Bucket="moving-adapters", Key=f"{name}.tar.gz")
    s3.delete_bucket(Bucket="moving-adapters")
