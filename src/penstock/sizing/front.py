"""What stands before the machines, as far as it costs: gateway, network, state."""

from collections.abc import Iterator
from dataclasses import dataclass

ENDPOINT_SERVICES = 8
"""Services of AWS that a network without a way to the internet has an endpoint for."""
ZONES = 2
"""Zones that a network of a deployment's own spans."""
FIREWALL_RULES = 4
"""Rules of the firewall that `front.waf` asks for: three of AWS, and a rate."""
LEAST_COUNTERS_GB = 0.1
"""What ElastiCache bills for a serverless Valkey at the least."""


@dataclass(frozen=True, slots=True)
class Front:
    """Counts of what runs all the time; of a function (`function_gb` of memory) none does.

    The defaults are two gateways on Fargate behind a load balancer, a NAT gateway, and counters.
    """

    tasks: int = 2
    vcpus: float = 1
    memory_gb: float = 2
    balancers: int = 1
    nat_gateways: int = 1
    endpoints: int = 0
    counters: int = 1
    database_acu: float = 0
    firewalls: int = 0
    function_gb: float = 0

    def standing(self) -> Iterator[tuple[str, str, float]]:
        """What is billed by the hour: its name, its part in the catalogue, the quantity."""
        wanted = (
            ("gateway vCPUs (Fargate)", "fargate-vcpu", self.tasks * self.vcpus),
            ("gateway memory (Fargate)", "fargate-memory", self.tasks * self.memory_gb),
            ("load balancer", "alb", self.balancers),
            ("load balancer capacity", "alb-lcu", self.balancers),
            ("NAT gateway", "nat", self.nat_gateways),
            ("VPC endpoints", "vpc-endpoint", self.endpoints),
            ("counters (Valkey)", "valkey-serverless-data", self.counters * LEAST_COUNTERS_GB),
            ("database (Aurora)", "aurora-acu", self.database_acu),
            ("firewall", "waf-acl", self.firewalls),
            ("rules of the firewall", "waf-rule", self.firewalls * FIREWALL_RULES),
        )
        yield from (each for each in wanted if each[2])

    def by_use(
        self, requests_per_hour: float, request_s: float
    ) -> Iterator[tuple[str, str, float]]:
        """What is billed by the request, as quantities an hour, where a request takes so long.

        A function is billed for as long as it passes an answer on.
        """
        if not self.function_gb:
            return
        millions = requests_per_hour / 1e6
        yield "REST API", "api-gateway-rest", millions
        yield "function calls (Lambda)", "lambda-requests", millions
        seconds = requests_per_hour * request_s
        yield "function time (Lambda)", "lambda-compute", seconds * self.function_gb


TWO_GATEWAYS = Front()
"""What is taken to stand before the machines where a manifest cannot say."""
SIZES = {"small": 0.5, "medium": 1.0, "large": 2.0, "xlarge": 4.0}
"""Virtual CPUs of a gateway by `front.size`; it has twice as many GB of memory."""
