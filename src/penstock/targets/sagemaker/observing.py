"""What has to be read from an account before the templates of a manifest can be made."""

from typing import Any

from penstock.manifest.model import Manifest
from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors
from penstock.targets.aws.stack import DomainFacts


def read_domain(account: Account, manifest: Manifest) -> DomainFacts | None:
    """Network and role of the SageMaker domain that the manifest names; none where it names none.

    Raises:
        CloudError: there is no such domain.
    """
    name = manifest.target.domain
    if name is None:
        return None
    client: Any = account.client("sagemaker")
    with aws_errors("SageMaker"):
        told = client.describe_domain(DomainId=name)
    settings = told.get("DefaultUserSettings", {})
    return DomainFacts(
        id=name,
        vpc=told.get("VpcId", ""),
        subnets=tuple(told.get("SubnetIds", ())),
        security_groups=tuple(settings.get("SecurityGroups", ())),
        execution_role=settings.get("ExecutionRole", ""),
        network_only=told.get("AppNetworkAccessType") == "VpcOnly",
    )
