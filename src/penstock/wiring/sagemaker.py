"""Endpoints of SageMaker as engines: from the manifest to settings, and from those to keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.engines.sagemaker.token import Token
    from penstock.gateway.endpoints import Endpoints
    from penstock.gateway.fleet import Fleet
    from penstock.gateway.settings import (
        EngineSettings,
        SageMakerSettings,
        Settings,
        WakeSettings,
    )
    from penstock.manifest.model import Manifest
    from penstock.manifest.routing import OtherModel


def endpoint_engine(
    name: str,
    endpoint: str,
    component: str | None,
    region: str,
    wake: WakeSettings | None = None,
) -> EngineSettings:
    """Return the engine `name`: an endpoint, or a component on it; its address is found later.

    Every model it serves is told so by `upstream: ""`.
    """
    from penstock.gateway.settings import EngineSettings, SageMakerSettings, WakeSettings

    place = SageMakerSettings(endpoint, region, component, wake or WakeSettings())
    return EngineSettings(name, "", sagemaker=place)


def wake_settings(manifest: Manifest) -> WakeSettings:
    """Return how requests are held while a model wakes."""
    from penstock.gateway.settings import WakeSettings

    return WakeSettings(**manifest.scale.wake.model_dump())


def own_engine(manifest: Manifest) -> EngineSettings:
    """Return the engine of a manifest with `engine.kind: sagemaker`."""
    engine = manifest.engine
    place = engine.endpoint or "", engine.component, region_of(manifest)
    return endpoint_engine("engine", *place, wake_settings(manifest))


def other_engine(manifest: Manifest, name: str, other: OtherModel) -> EngineSettings:
    """Return the engine of a further model at an endpoint."""
    place = other.endpoint or "", other.component, region_of(manifest)
    return endpoint_engine(name, *place, wake_settings(manifest))


def front_engines(
    manifest: Manifest, endpoint: str, components: Mapping[str, str], region: str
) -> tuple[EngineSettings, ...]:
    """Return the engines of a gateway before a deployment: one a model or adapter, by its name.

    `components` maps each of them to its inference component; one that is not in it is served by
    the endpoint itself.
    """
    names = (manifest.served_model, *manifest.adapters)
    wake = wake_settings(manifest)
    return tuple(
        endpoint_engine(name, endpoint, components.get(name), region, wake) for name in names
    )


def region_of(manifest: Manifest) -> str:
    """Return where the endpoints are: `target.region`, else the region of the AWS profile.

    Raises:
        UserError: neither says.
    """
    from penstock.ground.errors import UserError
    from penstock.wiring.aws import profile_region

    region = manifest.target.region or profile_region()
    if not region:
        raise UserError(
            "no region is given for the endpoint", fix="Set target.region, or AWS_REGION."
        )
    return region


def mint_token(region: str, lasts_s: int | None = None) -> Token:
    """Return a bearer token by the credentials that boto3 finds; see `engines/sagemaker`.

    Raises:
        MachineError: boto3 is not installed.
        UserError: there are no credentials, or no token lasts so long.
        CloudError: the credentials have ended.
    """
    try:
        from penstock.engines.sagemaker.token import LONGEST_S, find_credentials, mint
    except ImportError:
        raise _missing() from None
    return mint(find_credentials(), region, LONGEST_S if lasts_s is None else lasts_s)


def with_addresses(settings: Settings) -> Settings:
    """Return the settings with an address for every endpoint of SageMaker that has none.

    Raises:
        MachineError: boto3 is not installed.
        UserError: there is no such region.
    """
    import msgspec

    if all(engine.sagemaker is None for engine in settings.engines):
        return settings
    try:
        from penstock.engines.sagemaker.address import openai_path, runtime_url
    except ImportError:
        raise _missing() from None
    engines = []
    for engine in settings.engines:
        if (place := engine.sagemaker) is not None:
            base = engine.url or runtime_url(place.region)
            url = base.rstrip("/") + openai_path(place.endpoint, place.component)
            engine = msgspec.structs.replace(engine, url=url, probe="/ping")  # noqa: PLW2901
        engines.append(engine)
    return msgspec.structs.replace(settings, engines=tuple(engines))


def open_endpoints(fleet: Fleet) -> Endpoints | None:
    """Return what keeps the keys of the endpoints; none where there are no endpoints."""
    import time

    if all(engine.sagemaker is None for engine in fleet):
        return None
    from penstock.engines.sagemaker.control import State, ask_for_a_copy, control_plane, state_of
    from penstock.engines.sagemaker.token import find_credentials, mint
    from penstock.gateway.endpoints import Endpoints

    credentials = find_credentials()

    class Plane:
        """Satisfies `endpoints.Control`, by one client a region."""

        def __init__(self) -> None:
            regions = {engine.sagemaker.region for engine in fleet if engine.sagemaker}
            self._clients = {region: control_plane(region) for region in regions}

        def state(self, place: SageMakerSettings) -> State:
            return state_of(self._clients[place.region], place.endpoint, place.component)

        def wake(self, place: SageMakerSettings) -> bool:
            # An endpoint without components has no copies to ask for.
            return place.component is not None and ask_for_a_copy(
                self._clients[place.region], place.component
            )

    return Endpoints(fleet, lambda region: mint(credentials, region), Plane(), wall=time.time)


def _missing() -> Exception:
    from penstock.ground.errors import MachineError

    fix = "Install it: pip install 'penstock[aws]'"
    return MachineError("SageMaker's tokens are signed by boto3", fix=fix)
