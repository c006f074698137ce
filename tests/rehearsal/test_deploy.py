"""`penstock deploy` and `destroy` against the stand-in: from a manifest to an answer, and back."""

import json

from tests.rehearsal.deployments import CHAT, Deployments


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
    assert [each for each in left if each["type"] != "AWS::Logs::LogGroup"] == []
