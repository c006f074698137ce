"""What is asked of a plan: the model, the load, and where it may run."""

from dataclasses import dataclass

from penstock.catalog.shape import ModelShape
from penstock.sizing.front import TWO_GATEWAYS, Front
from penstock.sizing.memory import Layout
from penstock.sizing.precision import PRECISIONS, Precision
from penstock.sizing.servers import SERVERS, Server
from penstock.sizing.serving import Load

DEFAULT_TTFT_MS = 2000.0
"""What 95 % of first tokens are held to where the manifest says nothing, milliseconds."""
PLACES = ("sagemaker realtime", "sagemaker components", "sagemaker async", "ecs", "eks")
"""Where a model can be served in AWS."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The question. `instances` is an allow-list (empty: any), `most_machines` 0 for no bound.

    `quantization` is the manifest's; `explore` also tries every other one, every place, and with
    `extrapolate` every depth of a pipeline.
    """

    shape: ModelShape
    quantization: str
    load: Load
    requests_per_minute: float
    layout: Layout
    place: str
    region: str
    context: int
    ttft_ms_p95: float = DEFAULT_TTFT_MS
    hours_per_day: float = 24
    spot_share: float = 0
    savings_plan: float = 0
    least_machines: int = 1
    most_machines: int = 0
    adapters: int = 0
    instances: tuple[str, ...] = ()
    explore: bool = False
    extrapolate: bool = False
    server: Server = SERVERS["vllm"]
    front: Front = TWO_GATEWAYS

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions to try, the asked one first."""
        asked = PRECISIONS[self.quantization]
        if not self.explore:
            return (asked,)
        others = ("none", "fp8", "int8", "awq", "nf4")
        return (asked, *(PRECISIONS[n] for n in others if n != asked.name))

    @property
    def depths(self) -> tuple[int, ...]:
        """The depths of a pipeline to try, the asked one first."""
        asked = self.layout.pipeline_parallel
        if asked > 1 or not (self.explore and self.extrapolate):
            return (asked,)
        return tuple(depth for depth in (1, 2, 4, 8) if depth <= self.shape.layers)

    @property
    def places(self) -> tuple[str, ...]:
        """The places to try, the asked one first."""
        if not self.explore:
            return (self.place,)
        return (self.place, *(place for place in PLACES if place != self.place))
