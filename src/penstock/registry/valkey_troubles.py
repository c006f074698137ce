"""Why a Valkey or Redis server cannot be used, in words; and when its connections are in the way.

The driver's own message may hold the address with its password: only what is known by its kind is
told.
"""

from typing import Any

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    MaxConnectionsError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    TimeoutError,
)

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ReadOnlyError, "it is a replica, which can only be read"),
    (OutOfMemoryError, "its memory is full"),
    (BusyLoadingError, "it is loading its data"),
    (MaxConnectionsError, "all connections are in use"),
    (AuthenticationError, "it does not accept this user or password"),
    (NoPermissionError, "its user lacks a permission"),
    (TimeoutError, "it does not answer in time"),
    (ConnectionError, "it cannot be reached"),
)


def reason_of(error: Exception) -> str:
    """Return why; the kind of the error stands behind it, or alone where nothing is known."""
    kind = type(error).__name__
    known = next((why for each, why in _REASONS if isinstance(error, each)), None)
    if known is None and "READONLY" in str(error):  # out of a script, as older servers say it
        known = _REASONS[0][1]
    return f"{known} ({kind})" if known else kind


async def let_go_of_replica(client: Any, error: Exception) -> None:
    """Close the connections where they lead to what was the primary before a fail-over.

    They would stay there for ever: nothing is wrong with them, but the address leads elsewhere.
    """
    if "READONLY" in str(error) or isinstance(error, ReadOnlyError):
        await client.connection_pool.disconnect(inuse_connections=False)
