"""Answers that all gateways share, in Valkey or Redis: sealed, and under names that tell nothing.

What the server holds can be opened only by who has both the cache's key and the whole question,
tenant and all: the name of an answer and the key that seals it (AES-256-GCM) are both made of the
question's HMAC, in two ways that do not lead to each other. The server alone says when an answer
ends, for the clocks of gateways differ. While it is away every look is a miss, and for a second
after a failure it is not even asked.
"""

import hashlib
import logging
import os
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from penstock.ground import metrics
from penstock.ground.clock import Clock
from penstock.ground.errors import UserError
from penstock.ground.metrics import Metric
from penstock.registry.cache.stored import Stored
from penstock.registry.valkey_troubles import let_go_of_replica, reason_of

_TIMEOUT_S, _REST_S = 0.25, 1.0
_CONNECTIONS = 32
_NONCE = 12
_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}
_read = msgspec.msgpack.Decoder(Stored).decode

log = logging.getLogger("penstock.gateway")


class ValkeyStore:
    """Satisfies `AnswerStore`. How much is kept is for the server's `maxmemory` to say."""

    def __init__(
        self, url: str, space: str, *, clock: Clock, timeout_s: float = _TIMEOUT_S
    ) -> None:
        """`space` keeps the answers of several stacks on one server apart.

        A server that takes longer than `timeout_s` counts as away.

        Raises:
            UserError: `url` is none of a Valkey or Redis server.
        """
        scheme, _, rest = url.partition("://")
        try:
            self._client: Any = Redis.from_url(
                f"{_SCHEMES.get(scheme, scheme)}://{rest}",
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
                max_connections=_CONNECTIONS,
            )
        except ValueError:
            raise UserError(
                "the address of the counters is no URL of a Valkey or Redis server",
                fix="Write redis://HOST:6379, or rediss:// for TLS",
            ) from None
        self._prefix = f"penstock:{space}:answer:"
        self._clock = clock
        self._rests_until_s = 0.0
        self.failures = 0

    async def get(self, key: bytes) -> Stored | None:
        """AnswerStore: look; what cannot be read or opened is a miss."""
        if self._clock() < self._rests_until_s:
            return None
        try:
            data = await self._client.get(self._name(key))
        except (RedisError, OSError) as error:
            self._failed(error)
            return None
        if not isinstance(data, bytes):
            return None
        try:
            return _read(_cipher(key).decrypt(data[:_NONCE], data[_NONCE:], None))
        except (InvalidTag, ValueError, msgspec.DecodeError):
            return None

    async def put(self, key: bytes, stored: Stored) -> None:
        """AnswerStore: keep, as long as the answer says."""
        left_ms = int(stored.lasts_s * 1000)
        if left_ms <= 0 or self._clock() < self._rests_until_s:
            return
        nonce = os.urandom(_NONCE)
        data = nonce + _cipher(key).encrypt(nonce, msgspec.msgpack.encode(stored), None)
        try:
            await self._client.set(self._name(key), data, px=left_ms)
        except (RedisError, OSError) as error:
            await let_go_of_replica(self._client, error)
            self._failed(error)

    def levels(self) -> tuple[tuple[Metric, float], ...]:
        """AnswerStore: how often the server failed."""
        return ((metrics.CACHE_FAILURES, self.failures),)

    async def close(self) -> None:
        """AnswerStore: close the connections."""
        await self._client.aclose()

    def _name(self, key: bytes) -> str:
        return self._prefix + hashlib.sha256(b"penstock cache name" + key).hexdigest()

    def _failed(self, error: Exception) -> None:
        if not self.failures or self._clock() > self._rests_until_s + _REST_S:
            log.warning("the shared cache cannot be used: %s", reason_of(error))
        self.failures += 1
        self._rests_until_s = self._clock() + _REST_S


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(hashlib.sha256(b"penstock cache seal" + key).digest())
