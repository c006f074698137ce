"""Whether what a manifest says of customers fits: keys, prices, limits."""

import re
from collections.abc import Iterator

from penstock.manifest.fields import Path
from penstock.manifest.flaws import NO_URL, Flaw, http_url, unknown_name
from penstock.manifest.identity import ALGORITHMS, AwsKeys, Oidc
from penstock.manifest.model import Manifest
from penstock.manifest.section import Section

_AWS_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,200}")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_key_sources(manifest: Manifest) -> Iterator[Flaw]:
    """Sources of keys: whom is believed, and over which line."""
    aws, oidc = manifest.keys.aws, manifest.keys.oidc
    yield from _switched_off("aws", aws, "prefix")
    yield from _switched_off("oidc", oidc, "issuer")
    yield from _aws(aws)
    if oidc.issuer:
        yield from _oidc(oidc)


def _switched_off(source: str, section: Section, switch: str) -> Iterator[Flaw]:
    if getattr(section, switch):
        return
    for name in sorted(section.model_fields_set - {switch}):
        default = type(section).model_fields[name].get_default(call_default_factory=True)
        if getattr(section, name) != default:
            what = f"keys.{source}.{name} has no effect: there is no keys.{source}.{switch}"
            yield Flaw(("keys", source, name), what, f"Give the {switch}, or remove it.")


def _aws(aws: AwsKeys) -> Iterator[Flaw]:
    path: Path = ("keys", "aws")
    if aws.prefix and not _AWS_NAME.fullmatch(aws.prefix):
        what = "keys.aws.prefix has what no secret's name has"
        yield Flaw((*path, "prefix"), what, "Take letters, digits and any of /_+=.@-")
    if aws.endpoint and not http_url(aws.endpoint):
        yield Flaw((*path, "endpoint"), *NO_URL)


def _oidc(oidc: Oidc) -> Iterator[Flaw]:
    path: Path = ("keys", "oidc")
    if not oidc.audience:
        what = "keys.oidc has an issuer and no audience: tokens meant for others would do"
        yield Flaw((*path, "issuer"), what, "Give keys.oidc.audience.")
    for number, name in enumerate(oidc.algorithms):
        if name not in ALGORITHMS:
            spot = (*path, "algorithms", number)
            yield unknown_name(spot, "way to sign with a private key", name, list(ALGORITHMS))
    for name in ("issuer", "jwks_url"):
        address = getattr(oidc, name)
        url = http_url(address) if address else None
        if address and url is None:
            yield Flaw((*path, name), *NO_URL)
        elif url and url.scheme == "http" and url.hostname not in _LOOPBACK:
            what = f"keys.oidc.{name} is not https: whoever is in between could sign tokens"
            yield Flaw((*path, name), what, "Write https://.")


def check_prices(manifest: Manifest) -> Iterator[Flaw]:
    """Prices that would have no effect."""
    for name, price in manifest.prices.items():
        path: Path = ("prices", name)
        hour = "usd_per_hour" if price.usd_per_hour else "plan"
        if name in manifest.adapters and getattr(price, hour):
            what = f"prices.{name}.{hour} has no effect: an adapter has no engine of its own"
            yield Flaw((*path, hour), what, "Give it to the model.")
        if price.tokens_per_second is None:
            continue
        has_hour = price.usd_per_hour or price.plan
        reason = "" if has_hour else "no usd_per_hour to share among tokens"
        reason = "tokens have prices" if price.prompt or price.completion else reason
        if reason:
            what = f"prices.{name}.tokens_per_second has no effect: {reason}"
            yield Flaw((*path, "tokens_per_second"), what, "Remove it.")


def check_priced_and_limited(manifest: Manifest) -> Iterator[Flaw]:
    """Prices and limits of models that there are not; budgets without a price."""
    known = list(manifest.names)
    foreign = manifest.engine_kind == "openai" and not manifest.model.served_name
    for section, names in (("prices", manifest.prices), ("limits", manifest.limits)):
        for name in names:
            if name not in known and not foreign:
                yield unknown_name((section, name), "model", name, known)
    if manifest.prices:
        return
    for name, tenant in manifest.tenants.items():
        for field in ("usd_per_day", "usd_per_month"):
            if getattr(tenant, field) is not None:
                what = f"tenants.{name}.{field} has no effect: no model has a price"
                yield Flaw(("tenants", name, field), what, "Give prices.")
