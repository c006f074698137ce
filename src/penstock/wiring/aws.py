"""What asks AWS: only here is boto3 imported, and only when a command needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from penstock.ground.errors import MachineError


def read_prices(
    instances: Iterable[str], regions: Iterable[str], today: date, told: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """See `targets/aws/price_list.py`.

    Raises:
        MachineError: boto3 is not installed.
    """
    with _boto3():
        from penstock.targets.aws import price_list
    return price_list.read_prices(instances, regions, today, told)


def read_spot_savings(
    on_demand: Mapping[tuple[str, str], float], now: datetime, told: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """See `targets/aws/spot_prices.py`.

    Raises:
        MachineError: boto3 is not installed.
    """
    with _boto3():
        from penstock.targets.aws import spot_prices
    return spot_prices.read_spot_savings(on_demand, now, told)


def quota_value(service: str, name: str, region: str) -> float | None:
    """See `targets/aws/quotas.py`.

    Raises:
        MachineError: boto3 is not installed.
    """
    with _boto3():
        from penstock.targets.aws import quotas
    return quotas.quota_value(service, name, region)


def profile_region() -> str | None:
    """Return the region that AWS's own settings name, if they do: `AWS_REGION`, else boto3's.

    Raises:
        MachineError: boto3 is not installed.
    """
    import os

    with _boto3():
        import boto3
    return os.environ.get("AWS_REGION") or boto3.session.Session().region_name


@contextmanager
def _boto3() -> Iterator[None]:
    try:
        yield
    except ImportError:
        fix = "Install it: pip install 'penstock[aws]'"
        raise MachineError("AWS is asked by boto3", fix=fix) from None
