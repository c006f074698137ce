"""SageMaker's runtime through boto3: streams, async through S3, tokens, what is refused."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError
from hypothesis import given
from hypothesis import strategies as st
from tests.rehearsal.account import Account, failures, one_model, wait_for
from tests.rehearsal.test_thread import ASK, token

from penstock.rehearsal.runtime import eventstream

EP = "runtime"


@pytest.fixture(scope="module")
def endpoint(aws: Account) -> Iterator[str]:
    template = one_model(EndpointName=EP)
    s3, sns = aws.client("s3"), aws.client("sns")
    s3.create_bucket(Bucket="async")
    topic = sns.create_topic(Name="done")["TopicArn"]
    template["Resources"]["Config"]["Properties"]["AsyncInferenceConfig"] = {
        "OutputConfig": {
            "S3OutputPath": "s3://async/out",
            "NotificationConfig": {"SuccessTopic": topic},
        }
    }
    stack = aws.deploy(EP, template)
    assert failures(aws, stack) == []
    yield EP
    aws.destroy(EP)
    for each in s3.list_objects_v2(Bucket="async").get("Contents", ()):
        s3.delete_object(Bucket="async", Key=each["Key"])
    s3.delete_bucket(Bucket="async")
    sns.delete_topic(TopicArn=topic)


def parts(answer: Any) -> Iterator[bytes]:
    with closing(answer["Body"]) as events:
        try:
            for event in events:
                yield event["PayloadPart"]["Bytes"]
        finally:
            events._raw_stream.read()  # botocore leaves the end unread after an exception


def stream(aws: Account) -> Any:
    return aws.client("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName=EP, Body=json.dumps({**ASK, "stream": True}), ContentType="application/json"
    )


def test_a_response_stream_is_decoded_by_botocore(aws: Account, endpoint: str) -> None:
    answer = stream(aws)
    assert answer["ContentType"].startswith("text/event-stream")
    text = b"".join(parts(answer))
    assert text.startswith(b"data: ")
    assert text.endswith(b"data: [DONE]\n\n")


def test_a_stream_that_breaks_off_raises(aws: Account, endpoint: str) -> None:
    aws.order("faults", {"kind": "stream", "name": EP})
    with pytest.raises(EventStreamError, match="ModelStreamError"):
        list(parts(stream(aws)))


def test_an_asynchronous_request_goes_through_s3(aws: Account, endpoint: str) -> None:
    s3 = aws.client("s3")
    s3.put_object(Bucket="async", Key="in.json", Body=json.dumps(ASK))
    answer = aws.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=EP, InputLocation="s3://async/in.json", InferenceId="one"
    )
    assert answer["OutputLocation"] == "s3://async/out/one.out"
    found = wait_for(lambda: s3.list_objects_v2(Bucket="async", Prefix="out/").get("Contents", []))
    body = s3.get_object(Bucket="async", Key=found[0]["Key"])["Body"].read()
    assert json.loads(body)["choices"]


def test_what_the_model_refuses_is_a_model_error(aws: Account, endpoint: str) -> None:
    with pytest.raises(ClientError) as caught:
        aws.client("sagemaker-runtime").invoke_endpoint(EndpointName=EP, Body=b"{")
    assert caught.value.response["Error"]["Code"] == "ModelError"
    assert caught.value.response["OriginalStatusCode"] == 400


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("", "Bearer"),
        ("Bearer sk-123", "sagemaker-api-key"),
        ("Bearer sagemaker-api-key-!!!", "base64"),
        ("expired", "expired"),
        ("forged", "signature"),
    ],
)
def test_a_bad_token_is_refused(aws: Account, endpoint: str, bad: str, why: str) -> None:
    if bad == "expired":
        bad = f"Bearer {token(aws, seconds=0)}"
        why = "X-Amz-Expires"
    if bad == "forged":
        stranger = Account({"url": aws.url, "region": aws.region, "access_key": "rehearsal",
                            "secret_key": "guessed"})  # fmt: skip
        bad = f"Bearer {token(stranger)}"
    answer = httpx.post(
        f"{aws.url}/endpoints/{EP}/openai/v1/chat/completions",
        json=ASK,
        headers={"Authorization": bad} if bad else {},
        timeout=60,
    )
    assert answer.status_code == 403
    assert answer.headers["x-amzn-errortype"] == "AccessDeniedException"
    assert why in answer.json()["message"]


def test_throttling_is_retried_by_botocore(aws: Account) -> None:
    aws.order("faults", {"kind": "throttling", "service": "cloudformation", "times": 2})
    assert "Stacks" in aws.client("cloudformation").describe_stacks()


@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=50),
        st.text(max_size=200),
        max_size=5,
    ),
    st.binary(max_size=2000),
)
def test_botocore_reads_what_is_written(headers: dict[str, str], payload: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(eventstream.message(headers, payload) + eventstream.part(b"next"))
    first, second = list(buffer)
    assert (first.headers, first.payload) == (headers, payload)
    assert second.headers[":event-type"] == "PayloadPart"
    assert second.payload == b"next"
