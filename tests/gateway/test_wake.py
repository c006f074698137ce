"""From zero copies and back, as in AWS: an alarm on refusals, a step policy, real engines."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from tests.fakes.gateway_engine import wait_until
from tests.gateway import sagemaker_stack
from tests.gateway.gateway_process import ALICE, GatewayProcess
from tests.gateway.sagemaker_stack import deploy, says, settings
from tests.rehearsal.account import Account, wait_for
from tests.rehearsal.sleeping_stack import ADAPTER, BASE

from penstock.engines.sagemaker.control import ask_for_a_copy, control_plane
from penstock.gateway.settings import Settings, WakeSettings
from penstock.ground.errors import CloudError

IDLE_S = 3000.0


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with sagemaker_stack.account(tmp_path_factory.mktemp("aws"), scale=60) as found:
        deploy(found)
        yield found


def copies(aws: Account) -> int:
    found = aws.client("sagemaker").describe_inference_component(InferenceComponentName=BASE)
    return int(found["RuntimeConfig"]["CurrentCopyCount"])


def is_updating(aws: Account) -> bool:
    found = aws.client("sagemaker").describe_inference_component(InferenceComponentName=BASE)
    return bool(found["InferenceComponentStatus"] == "Updating")


def put_to_sleep(aws: Account) -> None:
    """Its last copy ends a little before its update does; until then it takes no other."""
    aws.order("clock", {"advance_s": IDLE_S})
    wait_for(lambda: copies(aws) == 0 and not is_updating(aws))


def waking(region: str, by: str = "refusal") -> Settings:
    wake = msgspec.convert({"timeout_s": 120.0, "look_every_s": 0.3, "by": by}, WakeSettings)
    made = settings(region)
    engines = tuple(
        msgspec.structs.replace(each, sagemaker=msgspec.structs.replace(each.sagemaker, wake=wake))
        for each in made.engines
        if each.sagemaker is not None
    )
    return msgspec.structs.replace(made, engines=engines)


def test_refused_requests_wake_it_by_the_alarm(aws: Account) -> None:
    with GatewayProcess(waking(aws.region)) as gateway:
        before = says(gateway)
        woken = gateway.metric("penstock_wakes_total", engine="base")  # where it slept already
        put_to_sleep(aws)
        with ThreadPoolExecutor(12) as pool:
            names = ["base", "poet"] * 6
            answers = list(pool.map(lambda name: says(gateway, name), names))
        assert answers[0] == before
        assert answers[0] != answers[1]
        assert gateway.metric("penstock_wakes_total", engine="base") == woken + 1
        assert gateway.metric("penstock_wakes_total", engine="poet") <= 1
        assert gateway.metric("penstock_held_requests") == 0
    activities = aws.client("application-autoscaling").describe_scaling_activities(
        ServiceNamespace="sagemaker"
    )["ScalingActivities"]
    assert any(each["Cause"].startswith("alarm") for each in activities)


def test_one_call_wakes_it_where_that_is_allowed(aws: Account) -> None:
    """Without the alarm's doing: there is none."""
    put_to_sleep(aws)
    alarms = aws.client("cloudwatch")
    names = [each["AlarmName"] for each in alarms.describe_alarms()["MetricAlarms"]]
    alarms.delete_alarms(AlarmNames=names)
    with GatewayProcess(waking(aws.region, "copies")) as gateway:
        assert says(gateway)
        assert "asked for a copy" in gateway.log
    assert copies(aws) >= 1


def test_a_copy_is_asked_for_once_and_of_the_base(aws: Account) -> None:
    put_to_sleep(aws)
    client = control_plane(aws.region)
    assert ask_for_a_copy(client, ADAPTER)
    assert not ask_for_a_copy(client, BASE)
    wait_until(lambda: copies(aws) == 1)
    with pytest.raises(CloudError, match="no copy of nowhere can be asked for"):
        ask_for_a_copy(client, "nowhere")


def test_a_stream_is_held_too(aws: Account) -> None:
    put_to_sleep(aws)
    assert "AWS_ENDPOINT_URL" in os.environ
    with GatewayProcess(waking(aws.region, "copies")) as gateway, gateway.sdk(ALICE) as sdk:
        stream = sdk.chat.completions.create(
            model="poet",
            messages=[{"role": "user", "content": "Hello"}],
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        assert "".join(e.choices[0].delta.content or "" for e in chunks if e.choices)
        assert chunks[-1].usage is not None
