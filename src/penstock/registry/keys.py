"""API keys: made once, shown once, kept as digests.

A key carries 256 random bits, so a plain SHA-256 is enough to store it: there is nothing to guess
that a slow hash would protect. Look-up is by digest, so its time says nothing about the key.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "ps-"


@dataclass(frozen=True, slots=True)
class Key:
    """One API key as the registry knows it: never the secret itself.

    `hint` is the visible beginning, enough to tell keys apart in a list.
    """

    digest: bytes
    hint: str
    tenant: str


def new_secret() -> str:
    """Make the text of a new key; nobody can be shown it again."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: bytes) -> bytes:
    """Return the 32 bytes under which a key is stored."""
    return hashlib.sha256(secret).digest()


def hint_of(secret: str) -> str:
    """Return the part of a key that may be shown in lists and logs."""
    return secret[:8]


class KeyRing:
    """An immutable snapshot of all keys; the hot path reads it and nothing else."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._by_digest = {key.digest: key for key in keys}

    def find(self, secret: bytes) -> Key | None:
        """Return the key that `secret` opens, or none."""
        return self._by_digest.get(digest_of(secret))

    def __len__(self) -> int:
        return len(self._by_digest)
