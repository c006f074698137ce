"""Where an endpoint of SageMaker answers in OpenAI's dialect."""

import boto3
from botocore.exceptions import BotoCoreError

from penstock.ground.errors import UserError


def runtime_url(region: str) -> str:
    """Return the address of SageMaker's runtime, by region and partition.

    AWS's own settings change it: `AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME`, `AWS_ENDPOINT_URL`, FIPS.

    Raises:
        UserError: there is no such region.
    """
    try:
        client = boto3.session.Session().client("sagemaker-runtime", region_name=region)
    except (BotoCoreError, ValueError) as error:
        raise UserError(f"SageMaker cannot be reached in {region}", why=str(error)) from error
    try:
        return str(client.meta.endpoint_url).rstrip("/")
    finally:
        client.close()


def openai_path(endpoint: str, component: str | None) -> str:
    """Return the path before `/v1/chat/completions`; SageMaker routes nothing else there."""
    inner = f"/inference-components/{component}" if component else ""
    return f"/endpoints/{endpoint}{inner}/openai"
