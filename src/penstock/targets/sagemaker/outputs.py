"""The addresses of a deployment, as outputs of its stack; their names are an interface."""

from collections.abc import Iterator

from troposphere import Output, Ref, Sub

from penstock.targets.front.main import front_outputs
from penstock.targets.front.scene import Scene
from penstock.targets.sagemaker.asynchronous import ASYNC_PREFIX
from penstock.targets.sagemaker.components import adapter_title
from penstock.targets.sagemaker.deployment import Deployment

QUESTION = '{"messages":[{"role":"user","content":"Hello"}],"max_tokens":50}'
MOST_ADDRESSES = 100
"""Adapters whose addresses are outputs: a stack has 200 outputs at most."""


def outputs(deployment: Deployment, scene: Scene | None = None) -> Iterator[Output]:
    """Everything that somebody needs to use the endpoint, or the front before it.

    With a front the endpoint's own address has another name: clients are not meant to use it.
    """
    yield Output("SageMakerIntegrationMode", Value=integration(deployment))
    yield Output("EndpointName", Value=deployment.stack)
    yield Output("Region", Value=Sub("${AWS::Region}"))
    yield Output("DashboardUrl", Value=Sub(_dashboard_url(deployment)))
    if deployment.mode == "components":
        adapters = map(deployment.component_of, deployment.manifest.adapters)
        names = ",".join((deployment.base_component, *adapters))
        yield Output("InferenceComponents", Value=names)
    if deployment.mode == "async":
        yield from _async_places(deployment)
        return
    if scene is None:
        yield Output("InvokeExample", Value=Sub(_invoke_example(deployment)))
    if deployment.manifest.engine_kind in ("tgi", "triton"):
        yield Output("CurlExample", Value=Sub(_invoke_example(deployment)))
        return
    base = _openai_url(deployment)
    if scene is not None:
        yield Output("EndpointOpenAIBaseUrl", Value=Sub(base))
        yield from front_outputs(scene, deployment.manifest.served_model)
        return
    yield Output("OpenAIBaseUrl", Value=Sub(base))
    for adapter in list(deployment.manifest.adapters)[:MOST_ADDRESSES]:
        url = _openai_url(deployment, adapter)
        yield Output(f"{adapter_title(adapter)}OpenAIBaseUrl", Value=Sub(url))
    call = (
        f"curl {base}/chat/completions -H 'Content-Type: application/json' "
        f"""-H "Authorization: Bearer $(penstock token)" -d '{QUESTION}'"""
    )
    yield Output("CurlExample", Value=Sub(call))


def integration(deployment: Deployment) -> str:
    """Whose role and network are used."""
    target = deployment.manifest.target
    if target.domain:
        return f"domain {target.domain}"
    return "role" if target.role else "standalone"


def _openai_url(deployment: Deployment, adapter: str = "") -> str:
    url = f"https://runtime.sagemaker.${{AWS::Region}}.${{AWS::URLSuffix}}/endpoints/{deployment.stack}"
    if deployment.mode == "components":
        name = deployment.component_of(adapter) if adapter else deployment.base_component
        url += f"/inference-components/{name}"
    return f"{url}/openai/v1"


def _question(deployment: Deployment) -> str:
    """A question in the container's own dialect."""
    kind = deployment.manifest.engine_kind
    if kind == "triton":
        return '{"text_input":"Hello","parameters":{"max_tokens":50}}'
    return '{"inputs":"Hello","parameters":{"max_new_tokens":50}}' if kind == "tgi" else QUESTION


def _invoke_example(deployment: Deployment) -> str:
    """By the AWS CLI alone, whatever the engine speaks."""
    component = (
        f" --inference-component-name {deployment.base_component}"
        if deployment.mode == "components"
        else ""
    )
    return (
        "aws sagemaker-runtime invoke-endpoint --region ${AWS::Region} "
        f"--endpoint-name {deployment.stack}{component} --content-type application/json "
        f"--cli-binary-format raw-in-base64-out --body '{_question(deployment)}' /dev/stdout"
    )


def _async_places(deployment: Deployment) -> Iterator[Output]:
    """Where questions and answers lie, who is told, and a line that asks one."""
    place = f"s3://${{BucketName}}/{ASYNC_PREFIX}"
    for name, folder in (
        ("Questions", "questions"),
        ("Answers", "answers"),
        ("Failures", "failures"),
    ):
        yield Output(f"{name}Url", Value=Sub(f"{place}{folder}/"))
    yield Output("AnsweredTopicArn", Value=Ref("AnsweredTopic"))
    yield Output("FailedTopicArn", Value=Ref("FailedTopic"))
    asked = (
        f"echo '{_question(deployment)}' | aws s3 cp - {place}questions/1.json && "
        "aws sagemaker-runtime invoke-endpoint-async --region ${AWS::Region} "
        f"--endpoint-name {deployment.stack} --content-type application/json "
        f"--input-location {place}questions/1.json"
    )
    yield Output("CurlExample", Value=Sub(asked))


def _dashboard_url(deployment: Deployment) -> str:
    return (
        "https://console.aws.amazon.com/cloudwatch/home?region=${AWS::Region}"
        f"#dashboards:name={deployment.stack}"
    )
