"""What spot capacity costs now, by EC2's own history: the mean over the zones of a region."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from statistics import fmean

import boto3

from penstock.targets.aws.price_list import Row, Told
from penstock.targets.aws.refusals import aws_errors


def read_spot_savings(
    on_demand: Mapping[tuple[str, str], float], now: datetime, told: Told = lambda _: None
) -> Iterator[Row]:
    """Rows that say how much spot saves over `on_demand`, USD/h by (EC2 type, region).

    Raises:
        UserError: there are no credentials.
        CloudError: AWS refused, or cannot be reached.
    """
    for region in sorted({region for _, region in on_demand}):
        told(f"spot prices of {region}")
        wanted = [name for name, where in on_demand if where == region]
        for name, spot in _spot(region, wanted, now):
            yield {
                "instance": name,
                "region": region,
                "saving": round(max(0.0, 1 - spot / on_demand[name, region]), 4),
                "source": "spot-price-history",
                "as_of": now.astimezone(UTC).date().isoformat(),
            }


def _spot(region: str, names: Iterable[str], now: datetime) -> Iterator[tuple[str, float]]:
    """Type and mean spot price over the zones that have one."""
    found: dict[str, list[float]] = {}
    with aws_errors("EC2"):
        client = boto3.session.Session().client("ec2", region_name=region)
        pages = client.get_paginator("describe_spot_price_history").paginate(
            InstanceTypes=list(names), ProductDescriptions=["Linux/UNIX"], StartTime=now
        )
        for page in pages:
            for each in page["SpotPriceHistory"]:
                found.setdefault(each["InstanceType"], []).append(float(each["SpotPrice"]))
    for name, prices in found.items():
        yield name, fmean(prices)
