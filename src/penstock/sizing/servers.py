"""What can stand around the engine: the servers that a manifest may name as `engine.kind`.

LMI and Triton run vLLM inside, so what was measured of vLLM holds for them, but for the server
before it. TGI has an engine of its own, and no run of it is in the calibration: there is no
estimate for it, unless one is asked for.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Server:
    """A server: `unmeasured` says why nothing is known of its speed, `note` what to know of it.

    `places` are those where it runs (empty: everywhere), `lacks` the precisions it cannot load.
    """

    name: str
    unmeasured: str = ""
    note: str = ""
    places: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    def refusal(self, place: str, precision: str) -> str:
        """Why it cannot serve so; empty where it can."""
        if self.places and place not in self.places:
            return f"{self.name} does not run on {place}"
        if precision in self.lacks:
            return f"{self.name} does not load {precision}"
        return ""


_HOSTING = ("sagemaker realtime", "sagemaker async")
_INSIDE = "runs vLLM inside: its speed is taken for vLLM's, its own server was not measured"
SERVERS = {
    "vllm": Server("vLLM"),
    "lmi": Server("LMI", note=f"LMI {_INSIDE}", places=(*_HOSTING, "sagemaker components")),
    "triton": Server("Triton", note=f"Triton {_INSIDE}", places=_HOSTING),
    "tgi": Server(
        "TGI",
        unmeasured="no measurement of TGI's engine",
        note="TGI is in maintenance since 2025-12: it gets no new models",
        places=(*_HOSTING, "sagemaker components"),
    ),
}
"""By `engine.kind`; what is not here is served by vLLM in AWS."""
