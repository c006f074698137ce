"""The public keys of an OpenID provider: fetched in the background, never by a request."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx
import jwt
import msgspec
from jwt.algorithms import AllowedPublicKeys

from penstock.ground.clock import Clock
from penstock.registry.sources.health import SourceHealth

_LEAST_S = 10.0
"""The provider is asked no more often than this, however many unknown keys are named."""
_MOST_BYTES = 1 << 20
_RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))


class _Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str


class _Key(NamedTuple):
    key: AllowedPublicKeys
    algorithms: frozenset[str]


class SigningKeys:
    """Keys by `kid`; a `Background` of the gateway. Hot code asks `find`, which never waits."""

    def __init__(
        self,
        issuer: str,
        url: str | None,
        *,
        client: Callable[[], httpx.AsyncClient],
        health: SourceHealth,
        clock: Clock,
        refresh_s: float = 300.0,
    ) -> None:
        """`url` is the JWKS' address; none means that the issuer's discovery document names it."""
        self._issuer, self._url, self._client = issuer, url, client
        self.health, self._clock, self._refresh_s = health, clock, refresh_s
        self._keys: dict[str | None, _Key] = {}
        self._raw: object = None
        self._asked_s = float("-inf")
        self._wanted = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None

    def find(self, kid: str | None, algorithm: str) -> AllowedPublicKeys | None:
        """Return the key for a token's head, or none; an unknown one is looked for soon."""
        key = self._keys.get(kid)
        if kid is None and len(self._keys) == 1:
            (key,) = self._keys.values()
        if key is None:
            self._wanted.set()
            return None
        return key.key if algorithm in key.algorithms else None

    async def start(self) -> None:
        """Fetch once; if that fails, the gateway starts without them."""
        await self.refresh()

    def loops(self) -> Sequence[Any]:
        """Return what refreshes for ever."""
        return (self._keep(),)

    async def stop(self) -> None:
        """Nothing is left to be done."""

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._asked_s + _LEAST_S - self._clock()))
            pause_s = self._refresh_s if self.health.up else _LEAST_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            await self.refresh()

    async def refresh(self) -> None:
        """Fetch the keys; what cannot be read leaves the known ones."""
        self._wanted.clear()
        self._asked_s = self._clock()
        try:
            async with self._client() as client:
                url = self._url or await self._discover(client)
                raw = msgspec.json.decode(await _get(client, url))
            keys = _keys_in(raw)
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError, ValueError) as error:
            self.health.failed(str(error) if isinstance(error, ValueError) else _kind(error))
            return
        self.health.went_well()
        if raw != self._raw:
            self._raw, self._keys = raw, keys
            self.on_change()

    async def _discover(self, client: httpx.AsyncClient) -> str:
        address = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        found = msgspec.json.decode(await _get(client, address), type=_Discovery)
        if found.issuer != self._issuer:
            raise ValueError("the discovery document is another issuer's")
        if self._issuer.startswith("https:") and not found.jwks_uri.startswith("https:"):
            raise ValueError("the keys' address is not https")
        return found.jwks_uri


async def _get(client: httpx.AsyncClient, url: str) -> bytes:
    async with client.stream("GET", url) as answer:
        answer.raise_for_status()
        body = b""
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > _MOST_BYTES:
                raise ValueError("the answer is too large")
    return body


def _keys_in(raw: object) -> dict[str | None, _Key]:
    """Return the keys of a JWKS that check signatures; others are passed over."""
    rows = raw.get("keys") if isinstance(raw, dict) else None
    if not isinstance(rows, list):
        raise ValueError("the answer is no JWKS")
    found: dict[str | None, _Key] = {}
    for row in rows:
        if not isinstance(row, dict) or row.get("use", "sig") != "sig" or row.get("kty") == "oct":
            continue
        try:
            key = jwt.PyJWK.from_dict(row)
        except jwt.PyJWTError:
            continue  # a kind of key that is not known here
        # An RSA key serves a family of algorithms unless it names one; a curve serves its own.
        one = frozenset((key.algorithm_name,))
        fits = _RSA if key.key_type == "RSA" and "alg" not in row else one
        found[key.key_id] = _Key(key.key, fits)
    if not found:
        raise ValueError("the JWKS has no key that checks signatures")
    return found


def _kind(error: Exception) -> str:
    status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else ""
    return f"{type(error).__name__} {status}".strip()
