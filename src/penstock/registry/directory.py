"""All tenants and keys in memory: what the hot path looks keys up in, and nothing else.

It is filled once and then kept up with changes, row by row, so that a change costs the same with
a hundred keys and with a hundred thousand.
"""

import hmac
from collections.abc import Iterable

from penstock.registry.keys import digest_of
from penstock.registry.records import KeyRecord, TenantRecord


class Directory:
    """Tenants by name and keys by digest."""

    def __init__(self) -> None:
        self.tenants: dict[str, TenantRecord] = {}
        self._keys: dict[bytes, KeyRecord] = {}
        self._admins: dict[bytes, KeyRecord] = {}

    def put(self, tenants: Iterable[TenantRecord], keys: Iterable[KeyRecord]) -> None:
        """Add or replace tenants and keys."""
        for tenant in tenants:
            self.tenants[tenant.name] = tenant
        for key in keys:
            digest = bytes.fromhex(key.digest)
            if key.is_admin:
                self._admins[digest] = key
            else:
                self._keys[digest] = key

    def key(self, digest: bytes) -> KeyRecord | None:
        """Return the tenant key with this digest, or none: an admin key is none."""
        return self._keys.get(digest)

    def admin_of(self, secret: bytes, now_s: float) -> KeyRecord | None:
        """Return the admin key that `secret` is, if it opens; compared in constant time."""
        digest, found = digest_of(secret), None
        for held, key in self._admins.items():
            if hmac.compare_digest(held, digest) and key.opens_at(now_s):
                found = key
        return found

    def __len__(self) -> int:
        return len(self._keys)
