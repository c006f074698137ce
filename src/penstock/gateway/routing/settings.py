"""What a gateway is told about routing: plain data, part of `gateway/settings.py`."""

import msgspec


class BreakerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When an engine is left alone, and for how long."""

    failures: int = 5
    """So many failures in a row open the circuit."""
    share: float = 0.5
    """This share of failures opens it, of at least `least` requests in `window_s` seconds."""
    least: int = 20
    window_s: float = 10.0
    open_s: float = 5.0


class ArmSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One arm of a split: another model, or one engine of the model itself."""

    name: str
    weight: float
    model: str | None = None
    engine: str | None = None


class TierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tier: the model for requests that score `above` or more."""

    name: str
    model: str
    above: float


class ShadowSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets copies of a share of the requests: a model, or one engine of the model itself."""

    share: float
    model: str | None = None
    engine: str | None = None
    at_once: int = 8


class RoutingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How engines are chosen for one model, where that is more than least work."""

    prefix: bool = False
    """Whether prompts that begin alike go to the same engine."""
    prefix_bytes: int = 1024
    balance: float = 1.25
    """An engine gets at most so many times the mean work before its prefixes go elsewhere."""
    retries: int = 2
    hedge_after_ms: float | None = None
    fallback: tuple[str, ...] = ()
    arms: tuple[ArmSettings, ...] = ()
    tiers: tuple[TierSettings, ...] = ()
    """From the lowest `above` to the highest."""
    shares: dict[str, float] = {}
    """What a feature adds to the score; see `routing/score.py`."""
    shadow: ShadowSettings | None = None
