"""Each of AWS's containers is spoken to in its own dialect, and refuses what it would refuse."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.rehearsal.account import Account, failures, one_model
from tests.targets.sagemaker.cases import CASES, emitted

from penstock.catalog.images import image_of
from penstock.rehearsal.dialects.containers import OTHER, flaws, kind_of, vllm_flags
from penstock.targets.sagemaker.dialects import dialect_of, question, text_of

PROMPT = "The capital of France is"
ENVIRONMENTS = {
    "lmi": {"HF_MODEL_ID": "some/model", "TENSOR_PARALLEL_DEGREE": "max"},
    "tgi": {"HF_MODEL_ID": "some/model", "QUANTIZE": "bitsandbytes-nf4"},
    "triton": {
        "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "m", "SAGEMAKER_TRITON_INFERENCE_TYPE": "generate",
    },
}  # fmt: skip


def hosting(name: str, engine: str, **environment: str) -> dict[str, Any]:
    """A template of an endpoint with AWS's container for the engine."""
    template = deepcopy(one_model(EndpointName=name))
    container = template["Resources"]["Model"]["Properties"]["PrimaryContainer"]
    container["Image"] = image_of(engine).uri("us-east-1")
    container["Environment"] = {**ENVIRONMENTS.get(engine, {}), **environment}
    return template


@pytest.fixture(scope="module", params=["lmi", "tgi", "triton"])
def hosted(aws: Account, request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine whose endpoint is called `speaks-<engine>`."""
    engine = str(request.param)
    stack = aws.deploy(f"speaks-{engine}", hosting(f"speaks-{engine}", engine))
    assert failures(aws, stack) == []
    yield engine
    assert aws.destroy(f"speaks-{engine}")["StackStatus"] == "DELETE_COMPLETE"


def ask(aws: Account, engine: str, body: Any) -> bytes:
    answer = aws.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=f"speaks-{engine}", Body=json.dumps(body), ContentType="application/json"
    )
    return bytes(answer["Body"].read())


def test_an_answer_is_in_the_containers_words(aws: Account, hosted: str) -> None:
    dialect = dialect_of(hosted)
    messages = [{"role": "user", "content": PROMPT}]
    options = {"max_tokens": 6, "temperature": 0}
    said = text_of(dialect, ask(aws, hosted, question(dialect, messages, options)))
    assert said
    if hosted == "lmi":
        told = json.loads(ask(aws, hosted, {"inputs": PROMPT, "parameters": {"max_tokens": 6}}))
        assert set(told) == {"generated_text"}


def test_what_is_streamed_adds_up(aws: Account, hosted: str) -> None:
    if hosted == "triton":  # its endpoint has one kind of inference
        with pytest.raises(ClientError, match="exactly 1 response"):
            ask(aws, hosted, {"text_input": PROMPT, "stream": True})
        return
    wish = {"inputs": PROMPT, "parameters": {"max_new_tokens": 6, "temperature": 0}}
    whole = json.loads(ask(aws, hosted, wish))
    text = (whole[0] if isinstance(whole, list) else whole)["generated_text"]
    answer = aws.client("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName=f"speaks-{hosted}", Body=json.dumps({**wish, "stream": True})
    )
    held = b"".join(each["PayloadPart"]["Bytes"] for each in answer["Body"])
    lines = [line.removeprefix("data:") for line in held.decode().splitlines() if line]
    told = [json.loads(line) for line in lines]
    assert "".join(each["token"]["text"] for each in told) == text
    assert told[-1]["generated_text"] == text
    assert answer["ContentType"].endswith("jsonlines" if hosted == "lmi" else "event-stream")


@pytest.mark.parametrize("body", [{"prompt_": "x"}, {"inputs": 1}, []])
def test_another_dialect_is_not_understood(aws: Account, hosted: str, body: Any) -> None:
    with pytest.raises(ClientError) as caught:
        ask(aws, hosted, body)
    assert caught.value.response["Error"]["Code"] == "ModelError"
    assert caught.value.response["OriginalStatusCode"] == 422


def test_a_parameter_that_is_not_known_is_refused(aws: Account, hosted: str) -> None:
    key = "text_input" if hosted == "triton" else "inputs"
    with pytest.raises(ClientError, match="unknown field `max_length`"):
        ask(aws, hosted, {key: PROMPT, "parameters": {"max_length": 3}})


@pytest.mark.parametrize(
    ("engine", "environment", "line"),
    [
        ("vllm", {"SM_VLLM_MAX_LENGTH": "1"}, "unrecognized arguments: --max-length"),
        ("vllm", {"SM_VLLM_MAX_MODEL_LEN": "long"}, "invalid int value"),
        ("vllm", {"SM_VLLM_MAX_MODEL_LEN": "4k", "SM_VLLM_ENABLE_LORA": "true", "OTHER": "x"}, ""),
        ("lmi", {}, "No model"),
        ("lmi", {"HF_MODEL_ID": "m", "OPTION_ROLLING_BATCH": "fast"}, "Unsupported rolling batch"),
        ("lmi", {"HF_MODEL_ID": "m", "TENSOR_PARALLEL_DEGREE": "all"}, "TENSOR_PARALLEL_DEGREE"),
        ("tgi", {"HF_MODEL_ID": "m", "QUANTIZE": "nf4"}, "invalid value 'nf4'"),
        (
            "tgi",
            {"HF_MODEL_ID": "m", "MAX_INPUT_TOKENS": "9", "MAX_TOTAL_TOKENS": "9"},
            "must be <",
        ),
        ("triton", {"SAGEMAKER_TRITON_INFERENCE_TYPE": "chat"}, "unknown inference type"),
    ],
)
def test_an_environment_is_accepted_or_not(
    engine: str, environment: dict[str, str], line: str
) -> None:
    found = flaws(kind_of(image_of(engine).uri("eu-west-1")), environment)
    assert bool(found) == bool(line)
    assert all(line in each for each in found)


def test_only_images_of_aws_are_judged() -> None:
    assert kind_of("ghcr.io/me/vllm:1") == OTHER
    assert flaws(OTHER, {"SM_VLLM_NO_SUCH": "1"}) == []
    assert {"max-model-len", "enable-lora", "served-model-name"} <= vllm_flags()


def test_a_refused_environment_fails_the_endpoint_and_is_in_the_log(aws: Account) -> None:
    template = hosting("refused", "vllm", SM_VLLM_MAX_LENGTH="1")
    stack = aws.deploy("refused", template, DisableRollback=True)
    assert "ping health check" in dict(failures(aws, stack))["Endpoint"]
    group = "/aws/sagemaker/Endpoints/refused"
    events = aws.client("logs").filter_log_events(logGroupName=group)["events"]
    assert any("--max-length" in each["message"] for each in events)
    assert aws.destroy("refused")["StackStatus"] == "DELETE_COMPLETE"


@pytest.mark.parametrize("case", CASES)
def test_no_emitted_environment_is_refused(case: str) -> None:
    for container in containers(dict(emitted(case).main.template)):
        plain = {k: str(v) for k, v in container.get("Environment", {}).items()}
        assert flaws(kind_of(container["Image"]), plain) == []


def containers(tree: Any) -> Iterator[dict[str, Any]]:
    """Every part of a template that names an image."""
    if isinstance(tree, dict):
        if isinstance(tree.get("Image"), str) and isinstance(tree.get("Environment", {}), dict):
            yield tree
        for each in tree.values():
            yield from containers(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from containers(each)
