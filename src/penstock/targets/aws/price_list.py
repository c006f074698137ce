"""On-demand prices from the AWS Price List API: EC2 machines and their SageMaker twins.

EC2 is asked for one type at a time (Linux, shared, nothing pre-installed), SageMaker for all that
hosts in a region. A row is what `catalog.catalogue.load` lays over the package's own.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import Any

import boto3

from penstock.targets.aws.refusals import aws_errors

API_REGION = "us-east-1"
"""One of the few regions that serve the Price List API; it knows the prices of all."""
Row = dict[str, Any]
Told = Callable[[str], None]


def read_prices(
    instances: Iterable[str], regions: Iterable[str], today: date, told: Told = lambda _: None
) -> Iterator[Row]:
    """Price rows of `instances` (EC2 names) and of all that SageMaker hosts on, by region.

    Raises:
        UserError: there are no credentials.
        CloudError: AWS refused, or cannot be reached.
    """
    wanted = list(instances)
    with aws_errors("the AWS Price List API"):
        client = boto3.session.Session().client("pricing", region_name=API_REGION)
        for region in regions:
            told(f"prices of {region}")
            for instance in wanted:
                for product in _products(client, "AmazonEC2", _ec2_filters(instance, region)):
                    yield from _row(product, instance, region, today)
            twins = {f"ml.{instance}" for instance in wanted}
            hosting = {"regionCode": region, "component": "Hosting"}
            for product in _products(client, "AmazonSageMaker", hosting):
                name = product["product"]["attributes"].get("instanceName", "")
                if name in twins:
                    yield from _row(product, name, region, today)


def _ec2_filters(instance: str, region: str) -> dict[str, str]:
    return {
        "instanceType": instance,
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }


def _products(client: Any, service: str, wanted: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in wanted.items()]
    pages = client.get_paginator("get_products").paginate(ServiceCode=service, Filters=filters)
    for page in pages:
        yield from (json.loads(product) for product in page["PriceList"])


def _row(product: Mapping[str, Any], instance: str, region: str, today: date) -> Iterator[Row]:
    """The row of a product; none where it has no hourly price in USD above 0."""
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            usd = float(dimension["pricePerUnit"].get("USD", 0))
            if dimension["unit"] in ("Hrs", "Hours") and usd > 0:
                yield {
                    "instance": instance,
                    "region": region,
                    "usd_per_hour": usd,
                    "source": "price-list-api",
                    "as_of": today.isoformat(),
                }
                return
