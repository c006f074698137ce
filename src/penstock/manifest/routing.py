"""The sections of `penstock.yaml` that say who answers which request."""

from typing import Literal

from pydantic import Field

from penstock.manifest.references import Secret
from penstock.manifest.section import Name, Section
from penstock.manifest.target import ResourceName


class OtherModel(Section):
    """A further model, at OpenAI-compatible servers that already run."""

    urls: tuple[str, ...] = Field(default=(), examples=[["http://10.0.0.7:8000"]])
    """Addresses of the servers (`http://host:port`), one at least; each becomes an engine with the
    model's name, or, of several, `NAME-1`, `NAME-2`..."""
    endpoint: ResourceName | None = Field(default=None, examples=["support-bot"])
    """Name of a SageMaker endpoint in `target.region`, in place of `urls`."""
    component: ResourceName | None = Field(default=None, examples=["support-bot-org-a"])
    """Inference component on that endpoint: a model, or an adapter; none means that the endpoint
    serves one model itself."""
    api_key: Secret | None = Field(default=None, examples=["${env:ENGINE_API_KEY}"])
    """Key of the servers, as a reference."""
    served_as: str | None = Field(default=None, examples=["meta-llama/Llama-3.1-70B-Instruct"])
    """Name under which the servers know the model; none means the same name."""
    context: int | None = Field(default=None, ge=16, examples=[8192])
    """Longest prompt plus answer, tokens; none means that it is not known."""

    def engine_names(self, name: str) -> tuple[str, ...]:
        """Return the names of its engines, where the model is called `name`."""
        if self.endpoint is not None or len(self.urls) == 1:
            return (name,)
        return tuple(f"{name}-{number}" for number in range(1, len(self.urls) + 1))


class Arm(Section):
    """One arm of a split: `model` or `engine` is given."""

    model: str | None = Field(default=None, examples=["org-a"])
    """Model that answers in this arm."""
    engine: str | None = Field(default=None, examples=["engine-2"])
    """Engine of the model itself that answers in this arm."""
    weight: float = Field(default=1, ge=0)
    """Share of the keys, in proportion to the other arms; 0 is none."""


class Tier(Section):
    """One tier: a model for requests from a score on."""

    model: str = Field(default="", examples=["org-a"])
    """Model that answers in this tier."""
    above: float = Field(default=0, ge=0, le=1)
    """Score, 0 to 1, from which on this tier answers."""


class Shadow(Section):
    """Who gets copies of requests, to compare; `model` or `engine` is given."""

    model: str | None = Field(default=None, examples=["org-a"])
    """Model that gets the copies."""
    engine: str | None = Field(default=None, examples=["engine-2"])
    """Engine of the model itself that gets the copies."""
    share: float = Field(default=0.01, ge=0, le=1)
    """Share of the requests that is copied, 0 to 1."""
    at_once: int = Field(default=8, ge=1)
    """Copies on their way at the same time, in each gateway process; more are left out."""


class Way(Section):
    """How requests for one name reach an engine."""

    choose: Literal["least-work", "prefix"] = "least-work"
    """`prefix`: prompts of a tenant that begin alike go to one engine, whose cache has them."""
    prefix_bytes: int = Field(default=1024, ge=16, le=65536)
    """How much of a prompt decides with `choose: prefix`, bytes."""
    balance: float = Field(default=1.25, ge=1)
    """With `choose: prefix`, how many times the mean work an engine gets at most."""
    retries: int = Field(default=2, ge=0, le=16)
    """How often a request is tried on another engine of the same model."""
    hedge_after_ms: float | None = Field(default=None, gt=0, examples=[800])
    """After so many milliseconds without an answer a second engine is asked beside the first; none
    means never."""
    fallback: tuple[str, ...] = Field(default=(), examples=[["org-a"]])
    """Models that stand in, in this order, when no engine of this one can answer."""
    split: dict[Name, Arm] = Field(
        default_factory=dict, examples=[{"org-a": {"model": "org-a", "weight": 5}}]
    )
    """Arms by name, for a canary or an A/B test; a key always gets the same one."""
    tiers: dict[Name, Tier] = Field(
        default_factory=dict, examples=[{"org-a": {"model": "org-a", "above": 0.7}}]
    )
    """Tiers by name: the harder a request looks, the higher the tier."""
    shares: dict[str, float] = Field(default_factory=dict, examples=[{"code": 0.3, "long": 0.4}])
    """What each feature of a request adds to its score; none means what is built in."""
    shadow: Shadow | None = Field(default=None, examples=[{"model": "org-a", "share": 0.01}])
    """Who gets copies of a share of the requests."""


class Breaker(Section):
    """When an engine that fails is left alone, and for how long."""

    failures: int = Field(default=5, ge=1)
    """So many failures in a row open its circuit."""
    share: float = Field(default=0.5, gt=0, le=1)
    """This share of failures opens it too, 0 to 1."""
    least: int = Field(default=20, ge=1)
    """Requests in the window that a share is taken of, at least."""
    window_s: float = Field(default=10, gt=0)
    """Length of the window, seconds; it begins with a failure."""
    open_s: float = Field(default=5, gt=0)
    """How long the engine is left alone before one request tries it, seconds."""
