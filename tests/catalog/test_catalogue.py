"""Each figure has a source and a date, and says when nobody checked it."""

from datetime import date, timedelta

import pytest
from botocore.loaders import Loader

from penstock.catalog.catalogue import Catalogue, load, need_gpu
from penstock.catalog.images import image_of
from penstock.catalog.records import STALE_AFTER_DAYS, Dated
from penstock.ground.errors import UserError

CATALOGUE = load()
FAMILIES = (
    *("g4dn", "g5", "g6", "g6e", "gr6", "p3", "p4d", "p4de", "p5", "p5e", "p5en"),
    *("p6-b200", "p6-b300", "inf2", "trn1", "trn1n", "trn2"),
)


def figures(catalogue: Catalogue) -> dict[str, Dated]:
    """Every row of the catalogue."""
    rows: dict[str, Dated] = {}
    rows |= {f"gpu {name}": gpu.dated for name, gpu in catalogue.gpus.items()}
    rows |= {f"instance {name}": each.dated for name, each in catalogue.instances.items()}
    rows |= {f"price {key}": price.dated for key, price in catalogue.prices.items()}
    rows |= {f"spot {key}": saving.dated for key, saving in catalogue.spot.items()}
    rows |= {f"reserved {key}": saving.dated for key, saving in catalogue.reservations.items()}
    rows |= {f"part {name}": part.dated for name, part in catalogue.parts.items()}
    rows |= {f"limit {name}": limit.dated for name, limit in catalogue.limits.items()}
    rows |= {f"model {name}": dated for name, dated in catalogue.model_dates.items()}
    return rows


def test_each_row_has_a_known_source_and_a_date() -> None:
    rows = figures(CATALOGUE)
    assert len(rows) > 800
    for name, dated in rows.items():
        assert dated.source in CATALOGUE.sources, name
        assert date(2023, 1, 1) <= dated.as_of <= date(2026, 11, 30), name


def test_each_source_has_a_title_and_an_address_and_is_used() -> None:
    used = {dated.source for dated in figures(CATALOGUE).values()}
    used |= {image_of(engine).dated.source for engine in ("vllm", "lmi", "tgi", "triton")}
    used |= {"price-list-api", "spot-price-history", "sagemaker-sdk-images"}
    assert set(CATALOGUE.sources) == used
    for key, source in CATALOGUE.sources.items():
        assert source.title, key
        assert source.url.startswith("https://"), key
        unchecked = key.endswith("-unchecked") or key == "sagemaker-price-list"
        assert (source.checked is None) == unchecked, key


def test_what_is_priced_exists() -> None:
    for name, region in CATALOGUE.prices:
        assert name.removeprefix("ml.") in CATALOGUE.instances, name
        assert region.count("-") == 2
    for instance in CATALOGUE.instances.values():
        assert instance.unsupported or instance.gpu in CATALOGUE.gpus, instance.name


def test_prices_of_other_regions_are_their_own() -> None:
    price, own = CATALOGUE.price("g5.xlarge", "eu-west-1")
    home, _ = CATALOGUE.price("g5.xlarge", "us-east-1")
    assert own
    assert price
    assert home
    assert 1.0 < price.usd_per_hour / home.usd_per_hour < 1.3
    assert CATALOGUE.price("ml.g5.xlarge", "eu-west-1")[1] is False


def test_a_refreshed_price_lies_over_every_other() -> None:
    row = {"instance": "g5.xlarge", "region": "eu-west-1", "usd_per_hour": 9.0}
    newer = load([row | {"source": "price-list-api", "as_of": "2026-11-20"}])
    price, own = newer.price("g5.xlarge", "eu-west-1")
    assert own
    assert price
    assert price.usd_per_hour == 9.0


def test_reservations_are_a_third_off() -> None:
    for saving in CATALOGUE.reservations.values():
        assert 0.2 < saving.saving < 0.5, saving


@pytest.mark.parametrize(
    "family",
    FAMILIES,
)
def test_every_family_is_there(family: str) -> None:
    members = [each for each in CATALOGUE.instances.values() if each.family == family]
    assert members
    for each in members:
        assert bool(each.unsupported) == family.startswith(("inf", "trn")), each.name


@pytest.mark.parametrize(
    ("instance", "gpus", "gpu", "memory_gb", "ram_gib"),
    [
        ("g4dn.xlarge", 1, "T4", 16, 16),
        ("g4dn.2xlarge", 1, "T4", 16, 32),
        ("g4dn.12xlarge", 4, "T4", 16, 192),
        ("g5.xlarge", 1, "A10G", 24, 16),
        ("g5.2xlarge", 1, "A10G", 24, 32),
        ("g5.12xlarge", 4, "A10G", 24, 192),
        ("g5.48xlarge", 8, "A10G", 24, 768),
        ("g6.xlarge", 1, "L4", 24, 16),
        ("g6.12xlarge", 4, "L4", 24, 192),
        ("g6e.xlarge", 1, "L40S", 48, 32),
        ("g6e.48xlarge", 8, "L40S", 48, 1536),
        ("p3.2xlarge", 1, "V100-16", 16, 61),
        ("p4d.24xlarge", 8, "A100-40", 40, 1152),
        ("p4de.24xlarge", 8, "A100-80", 80, 1152),
        ("p5.48xlarge", 8, "H100", 80, 2048),
    ],
)
def test_memory_is_that_of_the_gpu_and_not_the_ram(
    instance: str, gpus: int, gpu: str, memory_gb: int, ram_gib: float
) -> None:
    """What guides get wrong: `g4dn.2xlarge` has no 32 GB GPU, `g5.2xlarge` no 48, p4d no 80."""
    known = CATALOGUE.instances[instance]
    assert (known.gpus, known.gpu, known.ram_gib) == (gpus, gpu, ram_gib)
    assert CATALOGUE.gpus[gpu].memory_gb == memory_gb


def test_t4_and_v100_have_no_bfloat16() -> None:
    without = {gpu.name for gpu in CATALOGUE.gpus.values() if not gpu.has_bf16}
    assert without == {"T4", "V100-16", "V100-32", "V100S-32"}


def test_sagemaker_costs_more_than_the_same_machine_on_ec2() -> None:
    for (name, region), price in CATALOGUE.prices.items():
        plain = CATALOGUE.prices.get((name.removeprefix("ml."), region))
        if name.startswith("ml.") and plain:
            assert 1.1 < price.usd_per_hour / plain.usd_per_hour < 1.45, name


def test_sagemaker_hosts_what_its_own_service_model_lists() -> None:
    model = Loader().load_service_model("sagemaker", "service-2")
    hosted = set(model["shapes"]["ProductionVariantInstanceType"]["enum"])
    for instance in CATALOGUE.instances.values():
        assert instance.on_sagemaker == (f"ml.{instance.name}" in hosted), instance.name


def test_limits_are_those_of_the_service_models() -> None:
    runtime = Loader().load_service_model("sagemaker-runtime", "service-2")
    limit = {name: each.value for name, each in CATALOGUE.limits.items()}
    told = runtime["operations"]["InvokeEndpoint"]["documentation"]
    assert f"respond to requests within {limit['sagemaker-response-seconds']:.0f} seconds" in told
    shapes = runtime["shapes"]
    assert shapes["BodyBlob"]["max"] == limit["sagemaker-payload-mb"] * 1e6
    longest = shapes["InvocationTimeoutSecondsHeader"]["max"]
    assert longest == limit["sagemaker-async-seconds"]


def test_a_figure_is_stale_after_ninety_days() -> None:
    today = date(2026, 11, 21)
    fresh = Dated("karpenter", today - timedelta(days=STALE_AFTER_DAYS))
    assert not fresh.is_stale(today)
    assert fresh.is_stale(today + timedelta(days=1))


def test_a_refreshed_price_lies_over_the_one_of_the_package() -> None:
    row = {
        "instance": "g5.xlarge",
        "region": "eu-west-1",
        "usd_per_hour": 1.123,
        "source": "price-list-api",
        "as_of": "2026-11-20",
    }
    found, own = load([row]).price("g5.xlarge", "eu-west-1")
    assert found is not None
    assert (found.usd_per_hour, own) == (1.123, True)


def test_elsewhere_the_price_of_the_home_region_stands_in_and_says_so() -> None:
    found, own = CATALOGUE.price("ml.g5.xlarge", "sa-east-1")
    assert found is not None
    assert (found.region, own) == ("us-east-1", False)


def test_models_are_found_in_any_case_and_by_alias() -> None:
    shape = CATALOGUE.find_model("META-llama/llama-3.1-8b")
    assert shape is not None
    assert shape.id == "meta-llama/Llama-3.1-8B-Instruct"
    assert CATALOGUE.find_model("acme/unknown") is None
    assert "Qwen/Qwen2.5-7B-Instruct" in CATALOGUE.nearest_models("Qwen/Qwen2.5-7B-Instrukt")


def test_an_unknown_gpu_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="RTX-9999"):
        need_gpu(CATALOGUE, "RTX-9999")


@pytest.mark.parametrize(("wrong", "near"), [("mars-1", ""), ("eu-west-11", "eu-west-1")])
def test_a_region_nobody_knows_is_refused(wrong: str, near: str) -> None:
    catalogue = load()
    catalogue.require_region("eu-west-1")
    with pytest.raises(UserError) as caught:
        catalogue.require_region(wrong)
    assert wrong in str(caught.value)
    assert near in caught.value.fix
