"""How much of a service quota the account has, by the name that the console shows."""

import boto3

from penstock.targets.aws.refusals import aws_errors


def quota_value(service: str, name: str, region: str) -> float | None:
    """The account's value of a quota (vCPUs or instances); None where AWS lists no such quota.

    The applied value counts; where none was ever applied, AWS's default.

    Raises:
        UserError: there are no credentials.
        CloudError: AWS refused, or cannot be reached.
    """
    with aws_errors("AWS Service Quotas"):
        client = boto3.session.Session().client("service-quotas", region_name=region)
        for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
            for page in client.get_paginator(operation).paginate(ServiceCode=service):
                for quota in page["Quotas"]:
                    if quota["QuotaName"] == name:
                        return float(quota["Value"])
    return None
