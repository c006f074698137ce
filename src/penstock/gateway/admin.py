"""The admin API: tenants, keys, usage and budgets. It has keys of its own.

A tenant's key opens nothing here, and an admin key nothing elsewhere. Every change is known to
this gateway when it is answered, and to every other one within a second.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from penstock.gateway.admin_engines import engine_actions
from penstock.gateway.admin_forms import (
    KeyChange,
    NewKey,
    NewTenant,
    Rotation,
    TenantChange,
    key_shown,
    tenant_shown,
)
from penstock.gateway.admin_openapi import Body, admin_document
from penstock.gateway.admission import Admission
from penstock.gateway.auditing import Auditing
from penstock.gateway.faults import fault_of
from penstock.gateway.fleet import Fleet
from penstock.gateway.replies import fault_reply, json_reply, secret_in
from penstock.gateway.usage import budget_rows, groups_in, question_in
from penstock.ground.clock import Clock
from penstock.ground.errors import NotAllowed, PenstockError, RequestError
from penstock.registry import keys
from penstock.registry.office import Office
from penstock.registry.records import NAME, KeyRecord, Policy, TenantRecord
from penstock.registry.stores.accounts import policy_text

T = TypeVar("T", bound=msgspec.Struct)
Action = Callable[[Request], Awaitable[Response]]
_MAX_BODY = 65_536
_MAX_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Admin:
    """The routes of the admin API, and what they need."""

    admission: Admission
    office: Office
    unknown_tools: Callable[[Sequence[str]], list[str]]
    fleet: Fleet
    audit: Auditing | None = None
    wall: Clock = time.time

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        from_table: tuple[tuple[str, str, Action, Body], ...] = (
            ("/admin/tenants", "GET", self.list_tenants, None),
            ("/admin/tenants", "POST", self.create_tenant, NewTenant),
            ("/admin/tenants/{name}", "GET", self.show_tenant, None),
            ("/admin/tenants/{name}", "PATCH", self.change_tenant, TenantChange),
            ("/admin/keys", "GET", self.list_keys, None),
            ("/admin/keys", "POST", self.create_key, NewKey),
            ("/admin/keys/{id}", "GET", self.show_key, None),
            ("/admin/keys/{id}", "PATCH", self.change_key, KeyChange),
            ("/admin/keys/{id}", "DELETE", self.revoke_key, None),
            ("/admin/keys/{id}/rotate", "POST", self.rotate_key, Rotation),
            *engine_actions(self.fleet),
            ("/admin/usage", "GET", self.sums, None),
            ("/admin/usage/entries", "GET", self.entries, None),
        )
        by_path: dict[str, dict[str, Action]] = {}
        for path, method, action, _ in from_table:
            by_path.setdefault(path, {})[method] = action
        described = admin_document(
            tuple(
                (path, method, _summary(action), body) for path, method, action, body in from_table
            )
        )

        async def openapi(request: Request) -> Response:
            return json_reply(described)

        by_path["/admin/openapi.json"] = {"GET": openapi}
        return [
            Route(path, partial(self._guard, actions), methods=list(actions))
            for path, actions in by_path.items()
        ]

    async def _guard(self, actions: dict[str, Action], request: Request) -> Response:
        """Let in who has an admin key; nobody else learns what there is."""
        try:
            key = self.admission.admin_of(secret_in(request))
            if key is None:
                raise NotAllowed("this address takes an admin key", fix="Send one")
            method = "GET" if request.method == "HEAD" else request.method
            if self.audit is None or method == "GET":
                return await actions[method](request)
            return await _audited(self.audit, key, request, actions[method])
        except PenstockError as error:
            return fault_reply(fault_of(error))

    # Tenants

    async def list_tenants(self, request: Request) -> Response:
        """All tenants."""
        tenants = await self.office.accounts.tenants()
        return json_reply({"data": [tenant_shown(tenant) for tenant in tenants]})

    async def create_tenant(self, request: Request) -> Response:
        """Make a tenant."""
        new = await _read(request, NewTenant)
        if not NAME.fullmatch(new.name):
            raise RequestError(
                "`name` is wrong",
                why="letters, digits, '.', '_' and '-', 63 at most, a letter or digit first",
                param="name",
                code="invalid_value",
            )
        self._check(new.models, new.tools)
        policy = Policy(new.models, new.tools, new.limits.as_limits(), new.budgets, new.share)
        tenant = await self.office.accounts.add_tenant(TenantRecord(new.name, policy))
        await self.office.clerk.refresh()
        return json_reply(tenant_shown(tenant), 201)

    async def show_tenant(self, request: Request) -> Response:
        """One tenant, and how far its budgets are used."""
        tenant = await self._tenant(str(request.path_params["name"]))
        budgets = await budget_rows(
            self.office.books, f"tenant:{tenant.name}", tenant.policy.budgets, self.wall()
        )
        return json_reply({**tenant_shown(tenant), "budget_state": budgets})

    async def change_tenant(self, request: Request) -> Response:
        """Change what is given."""
        change = await _read(request, TenantChange)
        tenant = await self._tenant(str(request.path_params["name"]))
        self._check(_given(change.models), _given(change.tools))
        policy = _changed(tenant.policy, change)
        columns: dict[str, object] = {"policy": policy_text(policy)}
        if change.disabled is not UNSET:
            columns["disabled"] = change.disabled
        tenant = await self.office.accounts.change_tenant(tenant.name, columns)
        await self.office.clerk.refresh()
        return json_reply(tenant_shown(tenant))

    # Keys

    async def list_keys(self, request: Request) -> Response:
        """Keys, of one tenant or of all; never the secrets."""
        tenant = request.query_params.get("tenant")
        found = await self.office.accounts.keys(tenant=tenant, limit=_MAX_PAGE)
        now_s = self.wall()
        return json_reply({"data": [key_shown(key, now_s) for key in found]})

    async def create_key(self, request: Request) -> Response:
        """Make a key; the answer is the only place where its secret is ever shown."""
        new = await _read(request, NewKey)
        if new.admin == (new.tenant is not None):
            raise RequestError(
                "a key is of a tenant, or an admin's",
                fix="Send `tenant`, or `admin: true`",
                param="tenant",
                code="invalid_value",
            )
        if new.tenant is not None:
            await self._tenant(new.tenant)
        self._check(new.models, new.tools)
        secret = keys.new_secret()
        key = KeyRecord(
            id=f"key-{secrets.token_hex(6)}",
            digest=keys.digest_of(secret.encode()).hex(),
            hint=keys.hint_of(secret),
            tenant=new.tenant,
            label=new.label[:200],
            policy=Policy(new.models, new.tools, new.limits, new.budgets),
            expires_s=None if new.expires_in_s is None else self.wall() + new.expires_in_s,
            created_s=self.wall(),
        )
        await self.office.accounts.add_keys([key])
        await self.office.clerk.refresh()
        return json_reply({**key_shown(key, self.wall()), "secret": secret}, 201)

    async def show_key(self, request: Request) -> Response:
        """One key."""
        key = await self._key(request)
        budgets = await budget_rows(
            self.office.books, f"key:{key.id}", key.policy.budgets, self.wall()
        )
        return json_reply({**key_shown(key, self.wall()), "budget_state": budgets})

    async def change_key(self, request: Request) -> Response:
        """Change what is given; a revoked key stays revoked."""
        change = await _read(request, KeyChange)
        key = await self._key(request)
        self._check(_given(change.models), _given(change.tools))
        columns: dict[str, object] = {"policy": policy_text(_changed(key.policy, change))}
        if change.label is not UNSET:
            columns["label"] = change.label[:200]
        if change.disabled is not UNSET:
            columns["disabled"] = change.disabled
        if change.expires_in_s is not UNSET:
            ends = change.expires_in_s
            columns["expires_s"] = None if ends is None else self.wall() + ends
        return await self._change_key(key, columns)

    async def revoke_key(self, request: Request) -> Response:
        """End a key for good."""
        key = await self._key(request)
        ended_s = key.revoked_s or self.wall()
        return await self._change_key(key, {"revoked_s": ended_s})

    async def rotate_key(self, request: Request) -> Response:
        """Make a key that is the same but for its secret; the old one ends after the overlap."""
        rotation = await _read(request, Rotation, empty=Rotation())
        old = await self._key(request)
        if not old.opens_at(self.wall()):
            raise RequestError(
                f"the key {old.id} has ended",
                fix="Make a new one",
                code="key_ended",
            )
        secret = keys.new_secret()
        new = msgspec.structs.replace(
            old,
            id=f"key-{secrets.token_hex(6)}",
            digest=keys.digest_of(secret.encode()).hex(),
            hint=keys.hint_of(secret),
            source="admin",
            created_s=self.wall(),
            last_used_s=None,
        )
        await self.office.accounts.rotate(old, new, max(0.0, rotation.overlap_s))
        await self.office.clerk.refresh()
        shown = {**key_shown(new, self.wall()), "secret": secret, "replaces": old.id}
        return json_reply(shown, 201)

    # Usage

    async def sums(self, request: Request) -> Response:
        """What was used, in groups."""
        asked = dict(request.query_params)
        by = groups_in(asked.pop("group_by", "tenant,model"))
        question = question_in(asked, self.wall(), tenant=asked.pop("tenant", None))
        return json_reply({"data": await self.office.usage.sums(question, by)})

    async def entries(self, request: Request) -> Response:
        """The ledger's entries, a page at a time: `after` is the last page's `next`."""
        asked = dict(request.query_params)
        after = asked.pop("after", None)
        question = question_in(asked, self.wall(), tenant=asked.pop("tenant", None))
        page = await self.office.usage.page(question, after)
        rows = [entry._asdict() for entry in page]
        last = page[-1] if len(page) >= self.office.usage.PAGE else None
        following = f"{last.admitted_s!r},{last.request_id}" if last else None
        return json_reply({"data": rows, "next": following})

    # What they share

    async def _tenant(self, name: str) -> TenantRecord:
        found = await self.office.accounts.tenants(name)
        if not found:
            raise RequestError(
                f"there is no tenant {name[:100]!r}", param="tenant", code="not_found"
            )
        return found[0]

    async def _key(self, request: Request) -> KeyRecord:
        key_id = str(request.path_params["id"])
        found = await self.office.accounts.keys(key_id=key_id)
        if not found:
            raise RequestError(f"there is no key {key_id[:100]!r}", code="not_found")
        return found[0]

    async def _change_key(self, key: KeyRecord, columns: dict[str, object]) -> Response:
        changed = await self.office.accounts.change_key(key.id, columns)
        await self.office.clerk.refresh()
        return json_reply(key_shown(changed, self.wall()))

    def _check(self, models: tuple[str, ...] | None, tools: tuple[str, ...] | None) -> None:
        known = self.admission.model_names | {"*"}
        wrong = [("models", name) for name in models or () if name not in known]
        wrong += [("tools", name) for name in self.unknown_tools(tools or ())]
        if wrong:
            param, name = wrong[0]
            raise RequestError(
                f"`{param}` names what there is not: {name[:100]!r}",
                param=param,
                code="invalid_value",
            )


async def _audited(audit: Auditing, key: KeyRecord, request: Request, action: Action) -> Response:
    """Act, and record what was done, or tried, before it is answered; never a new key's secret."""
    audit.require_room()
    try:
        response = await action(request)
    except PenstockError as error:
        response = fault_reply(fault_of(error))
    try:
        details = msgspec.json.decode(await request.body() or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        details = None  # it was refused for that
    name = getattr(action, "__name__", "")
    audit.acted(key.id, name, request.url.path, response.status_code, details)
    return response


def _summary(action: Action) -> str:
    return (action.__doc__ or "").partition("\n")[0].rstrip(".")


def _given(value: tuple[str, ...] | UnsetType | None) -> tuple[str, ...] | None:
    return None if isinstance(value, UnsetType) else value


def _changed(policy: Policy, change: TenantChange | KeyChange) -> Policy:
    given = {
        name: value
        for name in ("models", "tools", "limits", "budgets", "share")
        if (value := getattr(change, name, UNSET)) is not UNSET
    }
    return msgspec.structs.replace(policy, **given)


async def _read(request: Request, kind: type[T], empty: T | None = None) -> T:
    body = await request.body()
    if len(body) > _MAX_BODY:
        raise RequestError("the body is too large", code="body_too_large")
    if not body and empty is not None:
        return empty
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError("the body is wrong", why=str(error), code="invalid_body") from None
