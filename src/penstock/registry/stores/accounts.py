"""Tenants and keys in the database. Every change raises the change counter that gateways watch."""

import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import RowMapping, Table, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.ground.clock import Clock
from penstock.ground.errors import RequestError
from penstock.registry.records import KeyRecord, Policy, TenantRecord
from penstock.registry.stores.changes import Changes
from penstock.registry.stores.database import Database
from penstock.registry.stores.tables import keys, meta, tenants

KEY_ID = "key-"
"""How the ids of keys begin that are kept here."""
_VERSION = "version"
_CURRENT = select(meta.c.value).where(meta.c.name == _VERSION)
_policy = msgspec.json.Decoder(Policy).decode
_KEPT = 500
"""Rows of one statement: below the number of parameters that databases take."""


class AccountStore:
    """Reads and changes tenants and keys."""

    def __init__(self, database: Database, wall: Clock = time.time) -> None:
        self._database, self._wall = database, wall

    async def changes_since(self, version: int) -> Changes:
        """Return what was changed after `version`; 0 asks for everything."""
        async with self._database.begin() as connection:
            current = (await connection.execute(_CURRENT)).scalar() or 0
            if current <= version:
                return Changes(version)
            rows = [
                (await connection.execute(select(table).where(table.c.version > version)))
                .mappings()
                .all()
                for table in (tenants, keys)
            ]
        # Rows above `current` were changed in between; they are told again the next time, with
        # those that were changed beside them and not seen here.
        return Changes(current, tuple(map(_tenant, rows[0])), tuple(map(_key, rows[1])))

    async def seed(
        self,
        given_tenants: Sequence[TenantRecord],
        given_keys: Sequence[KeyRecord],
        stack: str = "",
    ) -> None:
        """Make the database hold what the manifest says; what the admin API made is left alone.

        Tenants of an earlier manifest that are not in this one are switched off, and so are keys
        that `stack`, which is their label, made at an earlier start; those of other stacks, and of
        versions that labelled none, are not this one's to judge, but for the latter.
        """
        names = {tenant.name for tenant in given_tenants}
        digests = {key.digest for key in given_keys}
        async with self._database.begin() as connection:
            version = await self._raise_version(connection)
            old = (
                await connection.execute(select(tenants).where(tenants.c.source == "manifest"))
            ).mappings()
            held = {row["name"]: _tenant(row) for row in old.all()}
            for tenant in given_tenants:
                if _same(held.get(tenant.name), tenant):
                    continue
                await self._put_tenant(connection, tenant, version)
            for name in held.keys() - names:
                await self._set(connection, tenants, name, version, {"disabled": True})
            rows = await connection.execute(
                select(keys.c.id, keys.c.digest).where(
                    keys.c.source == "manifest",
                    keys.c.revoked_s.is_(None),
                    keys.c.label.in_(("", stack)),
                )
            )
            for row in rows.all():
                if row.digest not in digests:
                    changed = {"revoked_s": self._wall()}
                    await self._set(connection, keys, row.id, version, changed)
            for key in given_keys:
                values = {**_key_row(key, version), "created_s": self._wall()}
                await connection.execute(
                    self._database.insert(keys).values(values).on_conflict_do_nothing()
                )

    async def _put_tenant(
        self, connection: AsyncConnection, tenant: TenantRecord, version: int
    ) -> None:
        row = {**_tenant_row(tenant, version), "created_s": self._wall()}
        changed = {name: row[name] for name in ("policy", "disabled", "source", "version")}
        statement = self._database.insert(tenants).values(row)
        await connection.execute(
            statement.on_conflict_do_update(index_elements=["name"], set_=changed)
        )

    async def add_tenant(self, tenant: TenantRecord) -> TenantRecord:
        """Add a tenant; returns it with its time of birth.

        Raises:
            RequestError: there is one of that name.
        """
        tenant = msgspec.structs.replace(tenant, created_s=self._wall())
        try:
            async with self._database.begin() as connection:
                version = await self._raise_version(connection)
                await connection.execute(insert(tenants).values(_tenant_row(tenant, version)))
        except IntegrityError:
            raise RequestError(
                f"there is a tenant {tenant.name!r} already", param="name", code="name_taken"
            ) from None
        return tenant

    async def add_keys(self, records: Iterable[KeyRecord]) -> None:
        """Add keys; their `created_s` is set."""
        now_s = self._wall()
        async with self._database.begin() as connection:
            version = await self._raise_version(connection)
            rows = [{**_key_row(record, version), "created_s": now_s} for record in records]
            for start in range(0, len(rows), _KEPT):
                await connection.execute(insert(keys), rows[start : start + _KEPT])

    async def change_tenant(self, name: str, changes: Mapping[str, object]) -> TenantRecord:
        """Change columns of a tenant.

        Raises:
            RequestError: there is none of that name (code `not_found`).
        """
        return _tenant(await self._change(tenants, name, changes))

    async def change_key(self, key_id: str, changes: Mapping[str, object]) -> KeyRecord:
        """Change columns of a key; raises as `change_tenant` does."""
        return _key(await self._change(keys, key_id, changes))

    async def rotate(self, old: KeyRecord, new: KeyRecord, overlap_s: float) -> None:
        """Add `new`, and let `old` end when the overlap is over, in one step."""
        now_s = self._wall()
        ends_s = now_s + overlap_s
        if old.expires_s is not None:
            ends_s = min(ends_s, old.expires_s)
        async with self._database.begin() as connection:
            version = await self._raise_version(connection)
            row = {**_key_row(new, version), "created_s": now_s}
            await connection.execute(insert(keys).values(row))
            await self._set(connection, keys, old.id, version, {"expires_s": ends_s})

    async def tenants(self, name: str | None = None) -> list[TenantRecord]:
        """Return all tenants, or the one of that name."""
        query = select(tenants).order_by(tenants.c.name)
        if name is not None:
            query = query.where(tenants.c.name == name)
        async with self._database.begin() as connection:
            return [_tenant(row) for row in (await connection.execute(query)).mappings()]

    async def keys(
        self, *, tenant: str | None = None, key_id: str | None = None, limit: int = 1000
    ) -> list[KeyRecord]:
        """Return keys, oldest first; of one tenant, or the one with that id."""
        query = select(keys).order_by(keys.c.created_s, keys.c.id).limit(limit)
        if tenant is not None:
            query = query.where(keys.c.tenant == tenant)
        if key_id is not None:
            query = query.where(keys.c.id == key_id)
        async with self._database.begin() as connection:
            return [_key(row) for row in (await connection.execute(query)).mappings()]

    async def note_used(self, used_s: Mapping[str, float]) -> None:
        """Keep when keys were last used; nobody has to be told of it."""
        async with self._database.begin() as connection:
            for key_id, seconds in sorted(used_s.items()):
                if not key_id.startswith(KEY_ID):
                    continue  # it is kept elsewhere
                await connection.execute(
                    update(keys).where(keys.c.id == key_id).values(last_used_s=seconds)
                )

    async def _change(self, table: Table, name: str, changes: Mapping[str, object]) -> RowMapping:
        first = next(iter(table.primary_key))
        async with self._database.begin() as connection:
            version = await self._raise_version(connection)
            await self._set(connection, table, name, version, changes)
            row = (await connection.execute(select(table).where(first == name))).mappings().first()
        if row is None:
            what = "tenant" if table is tenants else "key"
            raise RequestError(f"there is no {what} {name[:100]!r}", code="not_found")
        return row

    async def _set(
        self,
        connection: AsyncConnection,
        table: Table,
        name: str,
        version: int,
        changes: Mapping[str, object],
    ) -> None:
        first = next(iter(table.primary_key))
        values = {**changes, "version": version}
        await connection.execute(update(table).where(first == name).values(values))

    async def _raise_version(self, connection: AsyncConnection) -> int:
        """Count one change; whoever else changes something waits for the end of this one."""
        return await self._database.take_turn(connection, _VERSION)


def _same(held: TenantRecord | None, given: TenantRecord) -> bool:
    return held is not None and not held.disabled and held.policy == given.policy


def policy_text(policy: Policy) -> str:
    """Return a policy as it stands in the database."""
    return msgspec.json.encode(policy).decode()


def _tenant_row(tenant: TenantRecord, version: int) -> dict[str, object]:
    return {
        "name": tenant.name,
        "policy": policy_text(tenant.policy),
        "disabled": tenant.disabled,
        "source": tenant.source,
        "created_s": tenant.created_s,
        "version": version,
    }


def _key_row(key: KeyRecord, version: int) -> dict[str, object]:
    row = msgspec.structs.asdict(key)
    return {**row, "policy": policy_text(key.policy), "version": version}


def _tenant(row: RowMapping) -> TenantRecord:
    return TenantRecord(
        row["name"], _policy(row["policy"]), row["disabled"], row["source"], row["created_s"]
    )


_NO_POLICY, _NO_POLICY_TEXT = Policy(), policy_text(Policy())


def _key(row: RowMapping) -> KeyRecord:
    text = row["policy"]
    return KeyRecord(
        id=row["id"],
        digest=row["digest"],
        hint=row["hint"],
        tenant=row["tenant"],
        label=row["label"],
        policy=_NO_POLICY if text == _NO_POLICY_TEXT else _policy(text),
        expires_s=row["expires_s"],
        disabled=row["disabled"],
        revoked_s=row["revoked_s"],
        source=row["source"],
        created_s=row["created_s"],
        last_used_s=row["last_used_s"],
    )
