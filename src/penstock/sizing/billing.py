"""The bill of a stack: the machines with GPUs, and every part around them.

Around the GPUs stand what the demand's `front` says, and the weights in S3. On SageMaker, bytes in
and out of the endpoint cost too (4 bytes a token); EKS has its control plane.
"""

from penstock.catalog.catalogue import HOME_REGION, Catalogue
from penstock.sizing.demand import Demand
from penstock.sizing.precision import PRECISIONS, weights_bytes
from penstock.sizing.price import HOURS_PER_MONTH, Bill, Item, Terms, mixed_price

_BYTES_PER_TOKEN = 4


def bill(
    machine: Item, place: str, demand: Demand, catalogue: Catalogue, request_s: float
) -> Bill:
    """What `machine` at `place` costs, with everything around it; a request takes `request_s`."""
    items = [machine, *_around(place, demand, catalogue, request_s)]
    return Bill(tuple(items), demand.hours_per_day)


def machine_item(
    name: str, place: str, machines: int, demand: Demand, catalogue: Catalogue
) -> Item:
    """The machines with GPUs; they stop with the load where they may scale to zero."""
    price, own = catalogue.price(name, demand.region)
    if price is None:
        raise ValueError(f"the price of {name} is unknown")
    usd, notes = price.usd_per_hour, [] if own else [f"price of {HOME_REGION}"]
    spot, dated = 0.0, price.dated
    if demand.spot_share and not place.startswith("sagemaker"):
        saving = catalogue.spot.get((name, demand.region)) or catalogue.spot.get(
            (name, HOME_REGION)
        )
        if saving:
            spot = saving.saving
            dated = min(price.dated, saving.dated, key=lambda each: each.as_of)
            taken = f", taken away {saving.interruption} of the time"
            notes.append(
                f"{demand.spot_share:.0%} on spot at {saving.saving:.0%} off as of "
                f"{saving.dated.as_of}{taken if saving.interruption != '?' else ''}"
            )
        else:
            notes.append("its spot price is unknown: all on demand")
    if demand.savings_plan:
        notes.append(f"{demand.savings_plan:.0%} off by your savings plan")
    usd = mixed_price(usd, Terms(demand.spot_share if spot else 0, spot, demand.savings_plan))
    sleeps = demand.least_machines == 0 and place != "sagemaker realtime"
    stops = sleeps or demand.hours_per_day < 24
    checked = own and catalogue.is_checked(price.dated)
    return Item(name, machines, usd, dated, checked, stops, "; ".join(notes))


def _around(place: str, demand: Demand, catalogue: Catalogue, request_s: float) -> list[Item]:
    weights_gb = weights_bytes(demand.shape, PRECISIONS[demand.quantization]) / 1e9
    requests = demand.requests_per_minute * 60
    standing = list(demand.front.standing())
    standing.append(("weights in S3", "s3", weights_gb / HOURS_PER_MONTH))
    if place == "eks":
        standing.append(("EKS control plane", "eks-cluster", 1))
    used = list(demand.front.by_use(requests, request_s))
    if place.startswith("sagemaker"):
        tokens = demand.load.prompt + demand.load.output
        used.append(
            ("endpoint data", "sagemaker-data", requests * tokens * _BYTES_PER_TOKEN / 1e9)
        )
    return [_item(each, catalogue) for each in standing] + [
        _item(each, catalogue, often=True) for each in used
    ]


def _item(wanted: tuple[str, str, float], catalogue: Catalogue, *, often: bool = False) -> Item:
    title, key, quantity = wanted
    part = catalogue.parts[key]
    monthly = key in ("waf-acl", "waf-rule")
    usd = part.usd / HOURS_PER_MONTH if monthly else part.usd
    return Item(title, quantity, usd, part.dated, catalogue.is_checked(part.dated), often)
