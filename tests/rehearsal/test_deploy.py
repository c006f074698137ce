"""`penstock deploy` and `destroy` against the stand-in: from a manifest to an answer, and back."""

import json
import re

import pytest
from tests.rehearsal.conftest import LONG_S
from tests.rehearsal.deployments import CHAT, Deployments
from tests.rehearsal.test_crashes import begin, end, read_until

from penstock.cli.output import ExitCode
from penstock.ground.errors import CloudError
from penstock.targets.aws.account import Account
from penstock.targets.aws.change_sets import ChangeSets
from penstock.targets.aws.stack import Stack


def test_a_model_is_deployed_asked_and_removed(deployments: Deployments) -> None:
    before = deployments.things()
    deployments.write("thin")
    told = deployments.deploy()
    assert told["changed"]
    runtime = deployments.aws.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(
        EndpointName=told["outputs"]["EndpointName"],
        Body=json.dumps(CHAT),
        ContentType="application/json",
    )
    assert json.loads(answer["Body"].read())["choices"][0]["message"]["content"]
    assert not deployments.deploy()["changed"]
    deployments.destroy()
    left = [each for each in deployments.things() if each not in before]
    assert left == []


FAULTS = {
    "capacity": ("InsufficientInstanceCapacity", "target.instances"),
    "quota": ("ml.g5.xlarge for endpoint usage", "Service Quotas|servicequotas"),
    "health_check": ("ping health check", "no such file"),
    "memory": ("CUDA out of memory", "model.context"),
    "download": ("Failed to download model data", "execution role"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_tells_the_reason_and_what_to_do(deployments: Deployments, fault: str) -> None:
    name = f"f-{fault}".replace("_", "-")
    deployments.write(name)
    deployments.aws.order("faults", {"kind": fault, "name": f"penstock-{name}"})
    error = deployments.deploy(code=ExitCode.FAILED)["error"]
    assert error["what"] == f"penstock-{name} is ROLLBACK_COMPLETE"
    for words in FAULTS[fault]:
        assert re.search(words, error["message"]), error
    assert deployments.deploy()["changed"]  # the wreck is cleared away, and it is made anew
    deployments.destroy()


def test_a_changed_model_goes_blue_green(deployments: Deployments) -> None:
    deployments.write("blue")
    deployments.deploy()
    deployments.write("blue", model={"id": "embedded", "context": 256}, scale={"max": 3})
    out, _ = deployments.run("diff")
    assert re.search(r"± Model .*is replaced", out)
    assert "twice as many machines" in out
    assert "At its most copies: 4.23 USD/h" in out
    sets = deployments.aws.client("cloudformation").list_change_sets(StackName="penstock-blue")
    assert [each["ExecutionStatus"] for each in sets["Summaries"]] == ["EXECUTE_COMPLETE"]
    assert deployments.deploy()["changed"]
    deployments.destroy()


def test_an_alarm_undoes_a_roll_out(deployments: Deployments) -> None:
    deployments.write("alarmed")
    deployments.deploy()
    cloudwatch = deployments.aws.client("cloudwatch")
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix="penstock-alarmed-ErrorsAlarm")
    before = deployments.aws.client("sagemaker").describe_endpoint(EndpointName="penstock-alarmed")
    name = alarms["MetricAlarms"][0]["AlarmName"]
    until_it_is_taken_away = {"kind": "alarm", "name": name, "times": 10**6}
    deployments.aws.order("faults", until_it_is_taken_away)
    deployments.write("alarmed", model={"id": "embedded", "context": 256})
    error = deployments.deploy(code=ExitCode.FAILED)["error"]
    assert error["what"] == "penstock-alarmed is UPDATE_ROLLBACK_COMPLETE"
    assert name in error["why"]
    assert "the deployment before serves on" in error["why"]
    after = deployments.aws.client("sagemaker").describe_endpoint(EndpointName="penstock-alarmed")
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    deployments.aws.order("faults", method="DELETE")
    assert deployments.deploy()["changed"]
    deployments.destroy()


def test_a_rollback_that_got_stuck_is_gone_on_with(deployments: Deployments) -> None:
    deployments.write("stuck")
    deployments.deploy()
    deployments.write("stuck", model={"id": "embedded", "context": 256}, scale={"max": 2})
    deployments.aws.order("faults", {"kind": "resource", "name": "ScalableTarget"})
    deployments.aws.order("faults", {"kind": "rollback", "name": "Endpoint"})
    error = deployments.deploy(code=ExitCode.FAILED)["error"]
    assert error["what"] == "penstock-stuck is UPDATE_ROLLBACK_FAILED"
    out, _ = deployments.run("diff")
    assert "first: mend stack penstock-stuck" in out
    assert "What else would change is known after that." in out
    _, err = deployments.run("deploy", "--yes")
    assert "penstock-stuck: UPDATE_ROLLBACK_COMPLETE" in err
    assert "ScalableTarget: CREATE_COMPLETE" in err
    deployments.destroy()


def test_throttling_is_waited_out_and_told_when_it_does_not_end(
    deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployments.write("throttled")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    deployments.aws.order("faults", {"kind": "throttling", "service": "sts", "times": 4})
    error = deployments.deploy(code=ExitCode.FAILED)["error"]
    assert error["what"] == "AWS has too many requests from this account"
    assert "it goes on where it stopped" in error["fix"]
    deployments.aws.order("faults", method="DELETE")


def test_a_slow_download_is_told_while_it_lasts(deployments: Deployments) -> None:
    deployments.write("slow")
    aws = deployments.aws
    aws.order("faults", {"kind": "slow_download", "name": "penstock-slow", "seconds": LONG_S})
    deploying = begin(aws, deployments.file, "deploy", aws.url)
    read_until(r"waiting for Endpoint: nothing new for \d+ s", deploying)
    aws.order("clock", {"advance_s": LONG_S})
    code, err = end(deploying)
    assert code == 0, err
    deployments.destroy()


def test_without_a_terminal_it_has_to_be_told_yes(deployments: Deployments) -> None:
    deployments.write("unasked")
    _, err = deployments.run("deploy", code=ExitCode.USAGE)
    assert "Agree with --yes" in err
    found = deployments.aws.client("cloudformation").describe_stacks()["Stacks"]
    assert "penstock-unasked" not in {each["StackName"] for each in found}


def test_a_stack_of_somebody_else_is_not_touched(deployments: Deployments) -> None:
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {}}}}
    theirs = deployments.aws.deploy("penstock-taken", template, Tags=[])
    deployments.write("taken")
    for command in ("diff", "deploy", "destroy"):
        options = () if command == "diff" else ("--yes",)
        _, err = deployments.run(command, *options, code=ExitCode.USAGE)
        assert "there is a stack penstock-taken that Penstock did not make" in err
    assert deployments.aws.settled("penstock-taken") == theirs
    assert deployments.aws.destroy("penstock-taken")["StackStatus"] == "DELETE_COMPLETE"
    deployments.destroy()  # the base stack was not begun before the main one was looked at


def test_without_rollback_the_wreck_stays_and_is_mended(deployments: Deployments) -> None:
    deployments.write("wreck-kept")
    deployments.aws.order("faults", {"kind": "capacity", "name": "penstock-wreck-kept"})
    error = deployments.deploy("--no-rollback", code=ExitCode.FAILED)["error"]
    assert error["what"] == "penstock-wreck-kept is CREATE_FAILED"
    out = deployments.run_with("status", "--file", str(deployments.file), code=ExitCode.FAILED)[0]
    assert "endpoint penstock-wreck-kept is Failed" in out
    assert deployments.deploy()["changed"]
    deployments.destroy()


BOOM = {"kind": "resource", "name": "QueueAlarm"}


def test_a_kept_wreck_is_made_anew_where_something_of_it_is_replaced(
    deployments: Deployments,
) -> None:
    deployments.write("wreck-anew")
    deployments.aws.order("faults", {"kind": "capacity", "name": "penstock-wreck-anew"})
    deployments.deploy("--no-rollback", code=ExitCode.FAILED)
    deployments.write("wreck-anew", target={"instances": ["g5.2xlarge"]})
    _, err = deployments.run("deploy", "--yes")
    assert "penstock-wreck-anew: CREATE_FAILED cannot be gone on from; it is made anew" in err
    told = deployments.aws.client("sagemaker").describe_endpoint_config(
        EndpointConfigName=deployments.aws.client("sagemaker").describe_endpoint(
            EndpointName="penstock-wreck-anew"
        )["EndpointConfigName"]
    )
    assert told["ProductionVariants"][0]["InstanceType"] == "ml.g5.2xlarge"
    deployments.destroy()


def test_an_update_that_failed_without_rollback_is_taken_up(deployments: Deployments) -> None:
    deployments.write("paused", scale={"max": 2})
    deployments.deploy()
    deployments.write("paused", scale={"max": 3, "queue_per_replica": 3})
    deployments.aws.order("faults", BOOM)
    error = deployments.deploy("--no-rollback", code=ExitCode.FAILED)["error"]
    assert error["what"] == "penstock-paused is UPDATE_FAILED"
    deployments.write("paused", scale={"max": 4, "queue_per_replica": 4})  # nothing is replaced
    assert deployments.deploy()["changed"]
    deployments.aws.order("faults", BOOM)
    deployments.write("paused", scale={"max": 5, "queue_per_replica": 5})
    deployments.deploy("--no-rollback", code=ExitCode.FAILED)
    deployments.write("paused", scale={"max": 5}, model={"id": "embedded", "context": 256})
    _, err = deployments.run("deploy", "--yes")
    assert "penstock-paused: UPDATE_FAILED cannot be gone on from; it is rolled back first" in err
    assert "penstock-paused: UPDATE_ROLLBACK_COMPLETE" in err
    assert "penstock-paused: UPDATE_COMPLETE" in err
    deployments.destroy()


def test_a_wreck_that_aws_cannot_keep_is_not_promised(deployments: Deployments) -> None:
    deployments.write("unkept")
    deployments.deploy()
    deployments.write("unkept", model={"id": "embedded", "context": 256})
    error = deployments.deploy("--no-rollback", code=ExitCode.USAGE)["error"]
    assert "--no-rollback cannot be had" in error["what"]
    assert "EndpointConfig" in error["why"]
    assert deployments.deploy()["changed"]
    deployments.destroy()


def test_of_two_who_deploy_at_once_the_second_is_told(deployments: Deployments) -> None:
    """Beginning to deploy, one forgets the change sets of the other: his are not carried out."""
    topic: dict[str, object] = {"Type": "AWS::SNS::Topic", "Properties": {}}
    made = deployments.aws.deploy("penstock-at-once", {"Resources": {"Topic": topic}})["StackId"]
    wanted: dict[str, object] = {"Resources": {"Topic": topic, "Other": topic}}
    stack = Stack("penstock-at-once", wanted, {}, (), {})
    with Account("us-east-1") as account:
        sets = ChangeSets(account)
        mine = sets.make(stack, made, None)
        theirs = sets.make(stack, made, None)
        with pytest.raises(CloudError, match="somebody else changes this stack") as caught:
            sets.execute(mine, keep_wreck=False)
        assert "Run it again" in caught.value.fix
        sets.forget(theirs)
    deployments.aws.destroy("penstock-at-once")
