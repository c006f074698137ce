"""Sources of keys outside of the registry: from the manifest to what runs beside a gateway."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from penstock.gateway.admission import Admission
    from penstock.gateway.identity_settings import (
        AwsKeySettings,
        KeySourceSettings,
        OidcSettings,
    )
    from penstock.ground.clock import Clock
    from penstock.manifest.identity import Keys
    from penstock.registry.sources.aws_secrets import AwsSecrets
    from penstock.registry.sources.jwks import SigningKeys


def key_source_settings(given: Keys) -> KeySourceSettings:
    """Return the manifest's `keys` as the gateway is told of them."""
    from penstock.gateway.identity_settings import (
        AwsKeySettings,
        KeySourceSettings,
        OidcSettings,
    )
    from penstock.registry.records import Budgets, Limits

    aws, oidc = given.aws, None
    if given.oidc.issuer:
        told = given.oidc.model_dump(exclude={"per_subject"})
        bounds = given.oidc.per_subject.model_dump()
        limits = Limits(**{name: bounds[name] for name in Limits.__struct_fields__})
        budgets = {name: bounds[name] for name in Budgets.__struct_fields__ if name in bounds}
        oidc = OidcSettings(**told, limits=limits, budgets=Budgets(**budgets))
    return KeySourceSettings(AwsKeySettings(**aws.model_dump()) if aws.prefix else None, oidc)


def open_key_sources(
    settings: KeySourceSettings, admission: Admission, registry: CollectorRegistry, wall: Clock
) -> list[AwsSecrets | SigningKeys]:
    """Return what keeps the keys of these sources up to date, to run beside the gateway.

    Raises:
        MachineError: what a source needs is not installed.
    """
    from penstock.gateway.source_gauges import SourceGauges

    sources: list[AwsSecrets | SigningKeys] = []
    if settings.aws is not None:
        sources.append(_aws(settings.aws, admission, wall))
    if settings.oidc is not None:
        sources.append(_oidc(settings.oidc, admission, wall))
    if sources:
        registry.register(SourceGauges([source.health for source in sources]))
    return sources


def _aws(told: AwsKeySettings, admission: Admission, wall: Clock) -> AwsSecrets:
    from penstock.ground.errors import MachineError
    from penstock.registry.sources.health import SourceHealth

    try:
        from penstock.registry.sources.aws_secrets import AwsSecrets, make_client
    except ImportError:
        raise MachineError(
            "keys.aws needs boto3", fix="Install it: pip install 'penstock[aws]'"
        ) from None
    return AwsSecrets(
        make_client(told.region, told.endpoint),
        told.prefix,
        admission.learn,
        wall,
        SourceHealth("aws", time.monotonic),
        refresh_s=told.refresh_s,
        overlap_s=told.overlap_s,
    )


def _oidc(told: OidcSettings, admission: Admission, wall: Clock) -> SigningKeys:
    import httpx

    from penstock.ground.errors import MachineError
    from penstock.registry.records import Policy
    from penstock.registry.sources.health import SourceHealth

    try:
        from penstock.registry.sources.jwks import SigningKeys
        from penstock.registry.sources.oidc import Rules, Tokens
    except ImportError:
        raise MachineError(
            "keys.oidc needs PyJWT", fix="Install it: pip install 'penstock[oidc]'"
        ) from None
    rules = Rules(
        told.issuer,
        told.audience,
        told.algorithms,
        told.tenant_claim,
        told.tenants,
        told.models_claim,
        told.tools_claim,
        told.leeway_s,
        Policy(limits=told.limits, budgets=told.budgets),
    )
    keys = SigningKeys(
        told.issuer,
        told.jwks_url,
        client=lambda: httpx.AsyncClient(timeout=5.0, follow_redirects=False),
        health=SourceHealth("oidc", time.monotonic),
        clock=time.monotonic,
    )
    admission.tokens = Tokens(rules, keys, admission.forget, wall).open
    return keys
