"""A gateway before an endpoint of SageMaker: the stand-in's OpenAI route, real engines behind."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from openai import BadRequestError, NotFoundError
from openai.types.chat import ChatCompletionMessageParam
from tests.fakes.authority import Authority
from tests.fakes.gateway_answers import LAST, STREAM_HEAD, chat_events, chunk, streamed
from tests.fakes.gateway_engine import scripted_engine, wait_until
from tests.gateway import sagemaker_stack
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess
from tests.gateway.sagemaker_stack import deploy, says, settings
from tests.rehearsal.account import Account
from tests.rehearsal.sleeping_stack import BASE, ENDPOINT

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with sagemaker_stack.account(tmp_path_factory.mktemp("aws"), scale=60) as found:
        deploy(found)
        yield found


@pytest.fixture(scope="module")
def gateway(aws: Account) -> Iterator[GatewayProcess]:
    with GatewayProcess(settings(aws.region)) as process:
        yield process


def test_the_sdk_gets_a_whole_answer_with_its_usage(gateway: GatewayProcess) -> None:
    with gateway.sdk() as sdk:
        answer = sdk.chat.completions.create(model="base", messages=HELLO, max_tokens=8)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


def test_the_sdk_gets_a_stream(gateway: GatewayProcess) -> None:
    before = gateway.metric("penstock_tokens_total", model="base", kind="completion")
    with gateway.sdk() as sdk:
        stream = sdk.chat.completions.create(
            model="base", messages=HELLO, max_tokens=8, stream=True
        )
        pieces = [each.choices[0].delta.content or "" for each in stream if each.choices]
    assert "".join(pieces)
    assert len(pieces) > 2
    wait_until(
        lambda: (
            gateway.metric("penstock_tokens_total", model="base", kind="completion") == before + 8
        )
    )


def test_a_name_reaches_its_own_component(gateway: GatewayProcess) -> None:
    assert says(gateway, "base") != says(gateway, "poet")
    names = [each["id"] for each in gateway.get("/v1/models").json()["data"]]
    assert names == ["base", "poet"]


def test_the_gateway_runs_tools_over_it(gateway: GatewayProcess) -> None:
    answer = gateway.chat("What is 12 * 12?", ALICE, model="base", max_tokens=64, temperature=0)
    assert answer.status_code == 200, answer.text
    assert gateway.metric("tool_calls_total", tool="calculate_math") >= 1


def test_only_chats_are_routed(gateway: GatewayProcess) -> None:
    with gateway.sdk() as sdk, pytest.raises(BadRequestError, match="answers chats alone") as told:
        sdk.completions.create(model="base", prompt="Hello", max_tokens=4)
    assert told.value.code == "chat_only"
    assert says(gateway)


def test_the_models_own_complaint_comes_through(gateway: GatewayProcess) -> None:
    """The front door quotes it in an envelope that names the account; the client sees neither."""
    with gateway.sdk() as sdk, pytest.raises(BadRequestError) as told:
        sdk.chat.completions.create(model="base", messages=HELLO, max_tokens=8, top_p=7)
    assert "top_p" in str(told.value)
    assert "123456789012" not in str(told.value)
    assert "Received client error" not in str(told.value)


def test_a_tenant_sees_its_own_components_alone(gateway: GatewayProcess) -> None:
    with gateway.sdk(BOB) as sdk, pytest.raises(NotFoundError):
        sdk.chat.completions.create(model="poet", messages=HELLO)


def test_throttling_is_told_as_such(aws: Account, gateway: GatewayProcess) -> None:
    aws.order("faults", {"kind": "throttling", "service": "sagemaker-runtime"})
    refused = gateway.chat("Hello", ALICE, model="base", max_tokens=4)
    assert refused.status_code == 429
    assert "123456789012" not in refused.text
    assert says(gateway)


def test_the_key_stands_nowhere(aws: Account, gateway: GatewayProcess) -> None:
    says(gateway)
    assert "sagemaker-api-key-" not in gateway.log
    assert "sagemaker-api-key-" not in gateway.get("/metrics", None).text


def test_over_tls_with_an_authority_of_its_own(
    aws: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in AWS: a name in the handshake, a certificate that is checked, keep-alive, streams."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with scripted_engine(authority.server("localhost")) as front_door:
        front_door.play(streamed(chat_events(["Hello"])))
        place = f"https://localhost:{front_door.port}"
        with GatewayProcess(settings(aws.region, url=place)) as gateway:
            for _ in range(3):
                answer = gateway.chat("Hello", BOB, model="base", stream=True)
                assert answer.status_code == 200, answer.text
                assert answer.text.endswith("data: [DONE]\n\n")
            assert front_door.connections == 1
            asked = front_door.asked[0]
            assert asked.path == (
                f"/endpoints/{ENDPOINT}/inference-components/{BASE}/openai/v1/chat/completions"
            )
            assert asked.json["model"] == ""
            assert asked.headers["authorization"].startswith("Bearer sagemaker-api-key-")
        with GatewayProcess(
            settings(aws.region, url=f"https://127.0.0.1:{front_door.port}")
        ) as gateway:
            refused = gateway.chat("Hello", BOB, model="base")
            assert refused.status_code == 503, refused.text
            assert len(front_door.asked) == 3


@pytest.mark.parametrize("cut", [1, 7, 50, 10_000])
def test_json_lines_become_events(aws: Account, cut: int) -> None:
    """LMI streams an object a line; cut anywhere, clients see what they would of vLLM."""
    events = chat_events(["Hel", "lo"])
    lines = b"".join(each.removeprefix(b"data: ").rstrip() + b"\n" for each in events[:-1])
    head = STREAM_HEAD.replace(b"text/event-stream; charset=utf-8", b"application/jsonlines")
    pieces = [lines[at : at + cut] for at in range(0, len(lines), cut)]
    with scripted_engine() as front_door:
        front_door.play([head, *(chunk(piece) for piece in pieces), LAST])
        with GatewayProcess(settings(aws.region, url=front_door.url)) as gateway:
            for key in (BOB, ALICE):  # as it comes, and through the turns of tools
                with gateway.sdk(key) as sdk:
                    stream = sdk.chat.completions.create(model="base", messages=HELLO, stream=True)
                    text = "".join(e.choices[0].delta.content or "" for e in stream if e.choices)
                assert text == "Hello"
            raw = gateway.chat("hi", BOB, model="base", stream=True).text
            assert raw.endswith("data: [DONE]\n\n")
            assert raw.count("[DONE]") == 1


def test_an_endpoint_that_is_not_there(aws: Account) -> None:
    made = settings(aws.region)
    engines = tuple(
        type(each)(each.name, "", sagemaker=type(each.sagemaker)("nowhere", aws.region))
        for each in made.engines
        if each.sagemaker is not None
    )
    with GatewayProcess(replace(made, engines=engines), is_ready=False) as gateway:
        # It listens after five seconds, even if the endpoints could not be looked at until then.
        wait_until(lambda: gateway.get("/ready", None).json()["engines_down"] == ["base", "poet"])
        refused = gateway.chat("Hello", ALICE, model="base", max_tokens=4)
        assert refused.status_code == 503
        assert "nowhere" not in refused.text
        assert "Could not find endpoint" in gateway.log  # the operator is told
        assert "endpoint/nowhere" in gateway.log


def test_a_key_that_is_refused_is_said_and_tried_anew(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-somebody-else")
    with GatewayProcess(settings(aws.region)) as gateway:
        refused = gateway.chat("Hello", ALICE, model="base", max_tokens=4)
        assert refused.status_code == 502
        assert json.loads(refused.text)["error"]["code"] == "engine_error"
        assert "the signature of the token does not match" in gateway.log


def test_without_credentials_it_does_not_start(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(AssertionError, match="there are no AWS credentials"):
        GatewayProcess(settings(aws.region)).__enter__()
