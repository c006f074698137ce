"""The addresses of a deployment, as outputs of its stack; their names are an interface."""

from collections.abc import Iterator

from troposphere import Output, Sub

from penstock.targets.front.main import front_outputs
from penstock.targets.front.scene import Scene
from penstock.targets.sagemaker.deployment import Deployment

QUESTION = '{"messages":[{"role":"user","content":"Hello"}],"max_tokens":50}'


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
        yield Output("CurlExample", Value=Sub(_async_example(deployment)))
        return
    if deployment.manifest.engine_kind in ("tgi", "triton"):
        yield Output("CurlExample", Value=Sub(_invoke_example(deployment)))
        return
    base = _openai_url(deployment)
    if scene is not None:
        yield Output("EndpointOpenAIBaseUrl", Value=Sub(base))
        yield from front_outputs(scene, deployment.manifest.served_model)
        return
    yield Output("OpenAIBaseUrl", Value=Sub(base))
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


def _openai_url(deployment: Deployment) -> str:
    url = f"https://runtime.sagemaker.${{AWS::Region}}.${{AWS::URLSuffix}}/endpoints/{deployment.stack}"
    if deployment.mode == "components":
        url += f"/inference-components/{deployment.base_component}"
    return f"{url}/openai/v1"


def _invoke_example(deployment: Deployment) -> str:
    """For engines that SageMaker's OpenAI route is not known to reach."""
    question = (
        '{"text_input":"Hello","parameters":{"max_tokens":50}}'
        if deployment.manifest.engine_kind == "triton"
        else '{"inputs":"Hello","parameters":{"max_new_tokens":50}}'
    )
    component = (
        f" --inference-component-name {deployment.base_component}"
        if deployment.mode == "components"
        else ""
    )
    return (
        "aws sagemaker-runtime invoke-endpoint --region ${AWS::Region} "
        f"--endpoint-name {deployment.stack}{component} --content-type application/json "
        f"--cli-binary-format raw-in-base64-out --body '{question}' /dev/stdout"
    )


def _async_example(deployment: Deployment) -> str:
    return (
        "aws sagemaker-runtime invoke-endpoint-async --region ${AWS::Region} "
        f"--endpoint-name {deployment.stack} --content-type application/json "
        "--input-location s3://${BucketName}/async/questions/1.json"
    )


def _dashboard_url(deployment: Deployment) -> str:
    return (
        "https://console.aws.amazon.com/cloudwatch/home?region=${AWS::Region}"
        f"#dashboards:name={deployment.stack}"
    )
