"""The bill of a stack: the machines with GPUs, and every part around them.

Around the GPUs stand two gateway tasks on Fargate (1 vCPU, 2 GB each) behind a load balancer, a
NAT gateway, a small Valkey for the counters, and the weights in S3. On SageMaker, bytes in and out
of the endpoint cost too (4 bytes a token); EKS has its control plane.
"""

from penstock.catalog.catalogue import HOME_REGION, Catalogue
from penstock.sizing.demand import Demand
from penstock.sizing.precision import PRECISIONS, weights_bytes
from penstock.sizing.price import HOURS_PER_MONTH, Bill, Item, Terms, mixed_price

GATEWAY_TASKS, GATEWAY_VCPUS, GATEWAY_GB = 2, 1, 2
_BYTES_PER_TOKEN = 4
_COUNTERS_GB = 0.1


def bill(name: str, place: str, machines: int, demand: Demand, catalogue: Catalogue) -> Bill:
    """What `machines` of type `name` at `place` cost, with everything around them."""
    items = [machine_item(name, place, machines, demand, catalogue)]
    items += _around(place, demand, catalogue)
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


def _around(place: str, demand: Demand, catalogue: Catalogue) -> list[Item]:
    parts = catalogue.parts
    weights_gb = weights_bytes(demand.shape, PRECISIONS[demand.quantization]) / 1e9
    requests = demand.requests_per_minute * 60
    tokens = demand.load.prompt + demand.load.output
    wanted = [
        ("gateway vCPUs (Fargate)", "fargate-vcpu", GATEWAY_TASKS * GATEWAY_VCPUS, False),
        ("gateway memory (Fargate)", "fargate-memory", GATEWAY_TASKS * GATEWAY_GB, False),
        ("load balancer", "alb", 1, False),
        ("load balancer capacity", "alb-lcu", 1, False),
        ("NAT gateway", "nat", 1, False),
        ("counters (Valkey)", "valkey-serverless-data", _COUNTERS_GB, False),
        ("weights in S3", "s3", weights_gb / HOURS_PER_MONTH, False),
    ]
    if place == "eks":
        wanted.append(("EKS control plane", "eks-cluster", 1, False))
    if place.startswith("sagemaker"):
        gigabytes = requests * tokens * _BYTES_PER_TOKEN / 1e9
        wanted.append(("endpoint data", "sagemaker-data", gigabytes, True))
    found = [(title, parts[key], quantity, often) for title, key, quantity, often in wanted]
    return [
        Item(title, quantity, part.usd, part.dated, catalogue.is_checked(part.dated), often)
        for title, part, quantity, often in found
    ]
