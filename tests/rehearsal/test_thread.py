"""The thinnest thread: a change set makes an endpoint that answers, and its deletion ends it."""

import base64
import json

import httpx
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.rehearsal.account import Account, one_model, wait_for

ASK = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}


def token(aws: Account, seconds: int = 3600) -> str:
    """A bearer token as AWS's own SDK mints it."""
    request = AWSRequest(
        "POST",
        "https://sagemaker.amazonaws.com/",
        params={"Action": "CallWithBearerToken"},
        headers={"host": "sagemaker.amazonaws.com"},
    )
    key = Credentials(*aws.credentials.values())
    SigV4QueryAuth(key, "sagemaker", aws.region, expires=seconds).add_auth(request)
    url = str(request.url).removeprefix("https://") + "&Version=1"
    return "sagemaker-api-key-" + base64.b64encode(url.encode()).decode()


def test_from_a_change_set_to_an_answer_and_back(aws: Account) -> None:
    stack = aws.deploy("thread", one_model(EndpointName="thread"))
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    assert aws.outputs(stack)["EndpointName"] == "thread"

    answer = aws.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="thread", Body=json.dumps(ASK), ContentType="application/json"
    )
    assert json.loads(answer["Body"].read())["choices"][0]["message"]["content"]
    assert answer["InvokedProductionVariant"] == "main"

    chat = httpx.post(
        f"{aws.url}/endpoints/thread/openai/v1/chat/completions",
        json={**ASK, "model": ""},
        headers={"Authorization": f"Bearer {token(aws)}"},
        timeout=60,
    )
    assert chat.status_code == 200, chat.text
    assert chat.json()["choices"][0]["message"]["content"]

    logs, group = aws.client("logs"), "/aws/sagemaker/Endpoints/thread"
    wait_for(lambda: logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"])
    assert aws.destroy("thread")["StackStatus"] == "DELETE_COMPLETE"
    left = aws.order("inventory", method="GET")
    named = [each["type"] for each in left if "thread" in each["name"]]
    assert named == ["AWS::Logs::LogGroup"]  # SageMaker leaves it, as in AWS
