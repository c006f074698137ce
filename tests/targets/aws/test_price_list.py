"""Prices from the Price List API: boto3 against a stand-in over a real socket."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.aws_answers import Refusal, fake_aws, product, spot_history

from penstock.catalog.catalogue import load
from penstock.cli.app import main
from penstock.ground.errors import CloudError, UserError
from penstock.targets.aws.price_list import read_prices

DAY = date(2026, 11, 21)


def filters(body: Mapping[str, Any]) -> dict[str, str]:
    return {each["Field"]: each["Value"] for each in body["Filters"]}


def price_list(operation: str, body: Mapping[str, Any]) -> Mapping[str, Any] | str:
    """Two pages for SageMaker, one product a type for EC2, nothing for g6."""
    if operation == "DescribeSpotPriceHistory":
        assert body["ProductDescription.1"] == "Linux/UNIX"
        return spot_history(
            ("g5.xlarge", "eu-west-1a", "0.40"), ("g5.xlarge", "eu-west-1b", "0.50")
        )
    assert operation == "GetProducts"
    asked = filters(body)
    if body["ServiceCode"] == "AmazonEC2":
        known = {"g5.xlarge": "1.1230000000", "p5.48xlarge": "60.5"}
        usd = known.get(asked["instanceType"])
        return {"PriceList": [product(usd)] if usd else []}
    if "NextToken" not in body:
        page = [product("1.5722", instanceName="ml.g5.xlarge"), product("9", instanceName="ml.c5")]
        return {"PriceList": page, "NextToken": "more"}
    free = product("0.0000000000", instanceName="ml.g6.xlarge")
    return {"PriceList": [free, product("70", unit="Hours", instanceName="ml.p5.48xlarge")]}


@pytest.mark.usefixtures("credentials")
def test_prices_are_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_aws(price_list) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", aws.url)
        instances = ("g5.xlarge", "g6.xlarge", "p5.48xlarge")
        rows = list(read_prices(instances, ["eu-west-1"], DAY))
    assert {row["instance"]: row["usd_per_hour"] for row in rows} == {
        "g5.xlarge": 1.123,
        "p5.48xlarge": 60.5,
        "ml.g5.xlarge": 1.5722,
        "ml.p5.48xlarge": 70,
    }
    assert {row["as_of"] for row in rows} == {"2026-11-21"}
    ec2 = filters(aws.asked[0][1])
    assert ec2["tenancy"] == "Shared"
    assert (ec2["operatingSystem"], ec2["capacitystatus"]) == ("Linux", "Used")
    assert filters(aws.asked[-1][1]) == {"regionCode": "eu-west-1", "component": "Hosting"}
    found, own = load(rows).price("ml.g5.xlarge", "eu-west-1")
    assert found is not None
    assert (found.usd_per_hour, own) == (1.5722, True)


@pytest.mark.usefixtures("credentials")
def test_a_refusal_is_told_in_the_words_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Mapping[str, Any]:
        raise Refusal("AccessDeniedException", "not authorized to perform: pricing:GetProducts")

    with fake_aws(refuse) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", aws.url)
        with pytest.raises(CloudError, match=r"AccessDeniedException: not authorized"):
            list(read_prices(["g5.xlarge"], ["us-east-1"], DAY))


@pytest.mark.usefixtures("credentials")
def test_an_unreachable_api_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:1")
    with pytest.raises(CloudError, match="cannot be reached"):
        list(read_prices(["g5.xlarge"], ["us-east-1"], DAY))


def test_without_credentials_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:1")
    with pytest.raises(UserError, match="AWS_PROFILE"):
        list(read_prices(["g5.xlarge"], ["us-east-1"], DAY))


@pytest.mark.usefixtures("credentials")
def test_refreshed_prices_are_kept_and_planned_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_CONFIG", str(tmp_path / "kept"))
    Path("penstock.yaml").write_text(
        "model: {id: meta-llama/Llama-3.1-8B-Instruct}\n"
        "target: {kind: ecs, region: eu-west-1, instances: [g5.xlarge]}\n"
        "scale: {spot: 0.5}\n"
    )
    with fake_aws(price_list) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", aws.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", aws.url)
        assert main(["catalog", "refresh", "--region", "eu-west-1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["prices"], told["spot"]) == (4, 1)
    assert main(["plan", "--json"]) == 0
    machine = json.loads(capsys.readouterr().out)["cheapest"]["bill"][0]
    assert machine["usd"] == pytest.approx((1.123 + 0.45) / 2, rel=1e-3)
    assert machine["source"] in ("price-list-api", "spot-price-history")
    assert machine["checked"]
    assert "50% on spot at 60% off" in machine["note"]
