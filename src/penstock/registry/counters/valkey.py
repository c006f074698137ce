"""The counters of all replicas, in Valkey or Redis: one script call an exchange."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from penstock.ground.errors import StoreUnavailable, UserError
from penstock.registry.counters.slices import Answer, Grant, Report
from penstock.registry.valkey_troubles import let_go_of_replica, reason_of

_TIMEOUT_S = 0.5
_SCHEMES = {"valkey": "redis", "valkeys": "rediss"}


class ValkeyServer:
    """One server; satisfies `exchange.Server`. Its exchanges must come one after the other."""

    def __init__(self, url: str, space: str, timeout_s: float = _TIMEOUT_S) -> None:
        """`url` is `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://`.

        `space` keeps the limits of several stacks on one server apart. A server that takes longer
        than `timeout_s` counts as away.

        Raises:
            UserError: it is none of these.
        """
        scheme, _, rest = url.partition("://")
        try:
            self._client: Any = Redis.from_url(
                f"{_SCHEMES.get(scheme, scheme)}://{rest}",
                decode_responses=True,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),  # who tries again does so with news
                max_connections=1,
            )
        except ValueError:
            raise UserError(
                "the address of the counters is no URL of a Valkey or Redis server",
                fix="Write redis://HOST:6379, or rediss:// for TLS",
            ) from None
        # In a cluster all of them must lie together, for one script call sees them all.
        self._prefix = f"{{penstock:{space}}}:"
        script = files("penstock.registry.counters") / "slices.lua"
        self._script = self._client.register_script(script.read_text(encoding="utf-8"))

    async def exchange(
        self, replica: str, lease_s: float, number: int, reports: Sequence[Report]
    ) -> Answer:
        """Tell what `replica` reports; see `exchange.Server`."""
        keys = [f"{self._prefix}replicas", *(self._prefix + report.key for report in reports)]
        arguments: list[str | int | float] = [replica, int(lease_s * 1000), number]
        for report in reports:
            arguments += (*report.terms, *report[2:])
        try:
            found = await self._script(keys=keys, args=arguments)
        except (RedisError, OSError) as error:
            await let_go_of_replica(self._client, error)
            raise StoreUnavailable(
                "the server of the counters cannot be used", why=reason_of(error)
            ) from None
        grants = [
            Grant(int(float(held)), float(level), int(float(left)), float(wait))
            for held, level, left, wait in zip(*(found[at::4] for at in range(2, 6)), strict=True)
        ]
        return Answer(int(found[0]), int(found[1]), grants)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()
