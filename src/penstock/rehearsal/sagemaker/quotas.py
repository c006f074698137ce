"""Service Quotas of the rehearsed account, and whether an endpoint is within them.

They are so many instances of each type as `DEFAULT` says, until an order says otherwise:
`POST /_rehearsal/quotas {"ml.g5.xlarge for endpoint usage": 2}`.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from penstock.catalog import catalogue
from penstock.rehearsal.faults import refuse_quota
from penstock.rehearsal.refusals import AwsError
from penstock.rehearsal.sagemaker.records import Estate

DEFAULT, DEFAULT_VCPUS = 20.0, 256.0
FAMILIES = ("Standard (A, C, D, H, I, M, R, T, Z)", "G and VT", "P")
Parameters = dict[str, Any]


class Quotas:
    """The operations, and the order that changes a quota."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._applied: dict[str, float] = {}

    def order(self, wish: Mapping[str, Any]) -> Any:
        """Set quotas by name; returns all that were set."""
        self._applied |= {str(name): float(value) for name, value in wish.items()}
        return self._applied

    def list_service_quotas(self, given: Parameters) -> Parameters:
        """Return the quotas that apply."""
        return {"Quotas": [self._told(given["ServiceCode"], e) for e in _names(given)]}

    def list_aws_default_service_quotas(self, given: Parameters) -> Parameters:
        """Return the quotas that a new account has."""
        code = given["ServiceCode"]
        return {"Quotas": [{**self._told(code, e), "Value": _default(e)} for e in _names(given)]}

    def get_service_quota(self, given: Parameters) -> Parameters:
        """Return one quota by its code."""
        for name in _names(given):
            if _code(name) == given["QuotaCode"]:
                return {"Quota": self._told(given["ServiceCode"], name)}
        raise AwsError("NoSuchResourceException", "The request failed because of no such quota.")

    def check(self, instance_type: str, count: int, endpoint: str) -> None:
        """Raise ResourceLimitExceeded when an endpoint takes more instances than there may be."""
        name = f"{instance_type} for endpoint usage"
        used = sum(
            variant.wanted
            for each in list(self._estate.endpoints.values())
            if each.name != endpoint
            for variant in each.variants.values()
            if variant.spec.get("InstanceType") == instance_type
        )
        most = int(self._applied.get(name, DEFAULT))
        if used + count > most:
            raise refuse_quota(instance_type, count, used=used, most=most)

    def _told(self, service: str, name: str) -> Parameters:
        return {
            "ServiceCode": service,
            "ServiceName": {"ec2": "Amazon Elastic Compute Cloud (Amazon EC2)"}.get(
                service, "Amazon SageMaker"
            ),
            "QuotaCode": _code(name),
            "QuotaName": name,
            "Value": self._applied.get(name, _default(name)),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }


def _names(given: Parameters) -> list[str]:
    if given["ServiceCode"] == "sagemaker":
        return [f"ml.{each} for endpoint usage" for each in catalogue.load().instances]
    if given["ServiceCode"] == "ec2":
        return [f"Running On-Demand {family} instances" for family in FAMILIES]
    raise AwsError("NoSuchResourceException", f"no quotas of {given['ServiceCode']} are kept")


def _default(name: str) -> float:
    return DEFAULT_VCPUS if name.startswith("Running") else DEFAULT


def _code(name: str) -> str:
    return "L-" + hashlib.sha256(name.encode()).hexdigest()[:8].upper()
