"""`penstock deploy` and `destroy` against the stand-in: from a manifest to an answer, and back."""

import json
import re

import pytest
from tests.rehearsal.deployments import CHAT, Deployments

from penstock.cli.output import ExitCode


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
    deployments.aws.order("faults", {"kind": "alarm", "name": name, "times": 500})
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
    wish = {"kind": "slow_download", "name": "penstock-slow", "seconds": 1800}
    deployments.aws.order("faults", wish)
    _, err = deployments.run("deploy", "--yes")
    assert re.search(r"waiting for Endpoint: nothing new for \d+ s", err)
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
