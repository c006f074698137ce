"""Bearer tokens of an OpenID provider instead of keys; needs `penstock[oidc]`.

A token is verified once, and then known by its digest until it ends, like a key. Verification is
arithmetic on what is in memory: the provider's keys are fetched in the background. A token says
whose tenant's it is, and may narrow models and tools; limits and budgets apply to the tenant and
to the subject. The admin API takes no tokens.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from penstock.ground.clock import Clock
from penstock.ground.errors import NotAllowed
from penstock.registry.keys import digest_of
from penstock.registry.records import KeyRecord, Policy
from penstock.registry.sources.jwks import SigningKeys

MAX_TOKENS = 50_000
"""Verified tokens that are remembered; beyond them the oldest are verified again."""
_MOST_BYTES = 8192
_PLAIN = re.compile(r"[A-Za-z0-9@._+|/-]{1,60}")
_PROBLEMS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "it has expired"),
    (jwt.ImmatureSignatureError, "it is not valid yet"),
    (jwt.InvalidAudienceError, "it is meant for somebody else (`aud`)"),
    (jwt.InvalidIssuerError, "it is another issuer's (`iss`)"),
    (jwt.MissingRequiredClaimError, "a claim is missing"),
    (jwt.InvalidSignatureError, "its signature is wrong"),
    (jwt.InvalidAlgorithmError, "its algorithm is not allowed (`alg`)"),
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token must say, and what follows from it."""

    issuer: str
    audience: tuple[str, ...]
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    tenant_claim: str = "tenant"
    tenants: Mapping[str, str] = field(default_factory=dict)
    """Tenants by the claim's value; none means that the value is the tenant's name."""
    models_claim: str | None = None
    tools_claim: str | None = None
    leeway_s: float = 30.0
    subject: Policy = field(default_factory=Policy)
    """Limits and budgets of each subject."""


class Tokens:
    """Opens tokens; `forget` is told which digests are not to be believed any more."""

    def __init__(
        self, rules: Rules, keys: SigningKeys, forget: Callable[[list[bytes]], None], wall: Clock
    ) -> None:
        """`wall` says whether a token has begun and not ended: on every gateway the same."""
        self._rules, self._keys, self._forget, self._wall = rules, keys, forget, wall
        self._seen: dict[bytes, None] = {}
        keys.on_change = self._forget_all

    def open(self, secret: bytes) -> KeyRecord | None:
        """Return what a token says as a key that ends with it; none if it is no token.

        Raises:
            NotAllowed: it is a token, and is not accepted; says why.
        """
        if secret.count(b".") != 2 or not secret.startswith(b"eyJ"):
            return None
        claims = self._verified(secret)
        tenant = self._tenant(claims)
        subject = claims["sub"]
        record = KeyRecord(
            id=_name_of(tenant, subject),
            digest=digest_of(secret).hex(),
            hint="",
            tenant=tenant,
            label=self._rules.issuer,
            policy=self._policy(claims),
            expires_s=float(claims["exp"]) + self._rules.leeway_s,
            source="oidc",
        )
        self._remember(bytes.fromhex(record.digest))
        return record

    def _verified(self, secret: bytes) -> dict[str, Any]:
        rules = self._rules
        if len(secret) > _MOST_BYTES:
            raise _refused("it is too long")
        try:
            head = jwt.get_unverified_header(secret)
            algorithm, kid = head.get("alg"), head.get("kid")
            if algorithm not in rules.algorithms:
                raise _refused("its algorithm is not allowed (`alg`)")
            key = self._keys.find(kid, algorithm)
            if key is None:
                raise _refused(
                    "no known key of its issuer has signed it",
                    fix="If the issuer has just changed its keys, try again in some seconds",
                )
            claims: dict[str, Any] = jwt.decode(
                secret,
                key,
                algorithms=[algorithm],
                audience=rules.audience,
                issuer=rules.issuer,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    "verify_exp": False,  # see below
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            self._check_times(claims)
            return claims
        except jwt.PyJWTError as error:
            known = next((why for kind, why in _PROBLEMS if isinstance(error, kind)), None)
            raise _refused(known or "it cannot be read") from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise _refused("it cannot be read") from None

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        """As PyJWT does, but by our clock: it knows only this machine's."""
        now_s, leeway_s = self._wall(), self._rules.leeway_s
        if int(claims["exp"]) <= now_s - leeway_s:
            raise jwt.ExpiredSignatureError
        if any(int(claims[name]) > now_s + leeway_s for name in ("nbf", "iat") if name in claims):
            raise jwt.ImmatureSignatureError

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        value = claims.get(self._rules.tenant_claim)
        tenants = self._rules.tenants
        tenant = tenants.get(value) if tenants and isinstance(value, str) else value
        if not isinstance(tenant, str) or not tenant:
            raise _refused(f"it names no known tenant (`{self._rules.tenant_claim}`)")
        return tenant

    def _policy(self, claims: Mapping[str, Any]) -> Policy:
        rules, subject = self._rules, self._rules.subject
        return Policy(
            _names(claims, rules.models_claim),
            _names(claims, rules.tools_claim),
            subject.limits,
            subject.budgets,
        )

    def _remember(self, digest: bytes) -> None:
        self._seen[digest] = None
        if len(self._seen) > MAX_TOKENS:
            oldest = next(iter(self._seen))
            del self._seen[oldest]
            self._forget([oldest])

    def _forget_all(self) -> None:
        """The issuer's keys have changed: what the old ones signed is verified again."""
        seen, self._seen = self._seen, {}
        self._forget(list(seen))


def _names(claims: Mapping[str, Any], claim: str | None) -> tuple[str, ...] | None:
    """Return the names in a claim, a list or words; a claim that is not there names nothing."""
    if claim is None:
        return None
    value = claims.get(claim, ())
    if isinstance(value, str):
        value = value.split()
    return tuple(name for name in value if isinstance(name, str)) if value else ()


def _name_of(tenant: str, subject: str) -> str:
    """Return what stands in the ledger as the key: tenant and subject, or their digest."""
    name = f"{tenant}/{subject}"
    if _PLAIN.fullmatch(name):
        return f"oidc:{name}"
    return f"oidc#{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:32]}"


def _refused(why: str, fix: str = "") -> NotAllowed:
    return NotAllowed("this token is not accepted", why=why, fix=fix)
