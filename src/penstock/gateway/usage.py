"""`GET /v1/usage`: what a tenant has used itself, and nobody else."""

import time
from calendar import timegm
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.gateway.admission import Admission
from penstock.gateway.replies import claimed_tenant, json_reply, secret_in
from penstock.ground.clock import Clock
from penstock.ground.errors import RequestError
from penstock.registry.records import Budgets
from penstock.registry.stores.books import BookStore
from penstock.registry.stores.ports import LeaseId
from penstock.registry.stores.usage import Question, UsageStore

_DAYS = 31
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class OwnUsage:
    """The route, and what it needs."""

    admission: Admission
    usage: UsageStore
    books: BookStore
    wall: Clock = time.time

    def route(self) -> Route:
        """Return the route."""
        return Route("/v1/usage", self.answer)

    async def answer(self, request: Request) -> Response:
        """Sums of the tenant of this key; `since`, `until` (days), `group_by`, `model`."""
        caller = self.admission.identify(secret_in(request), claimed_tenant(request))
        self.admission.admit_aside(caller)
        asked = dict(request.query_params)
        by = groups_in(asked.pop("group_by", "model"))
        if "tenant" in by:
            by.remove("tenant")
        question = question_in(asked, self.wall(), tenant=caller.name)
        rows = await self.usage.sums(question, by)
        budgets = [
            row
            for account in caller.accounts
            for row in await budget_rows(self.books, account.scope, account.budgets, self.wall())
        ]
        return json_reply(
            {"object": "usage", "tenant": caller.name, "data": rows, "budgets": budgets}
        )


async def budget_rows(
    books: BookStore, scope: str, budgets: Budgets, now_s: float
) -> list[dict[str, object]]:
    """Return the state of each budget of a scope in its present day or month."""
    from_bounds = (
        ("usd", 10, budgets.usd_per_day, 10**9),
        ("usd", 7, budgets.usd_per_month, 10**9),
        ("tokens", 10, budgets.tokens_per_day, 1),
        ("tokens", 7, budgets.tokens_per_month, 1),
    )
    today = time.strftime("%Y-%m-%d", time.gmtime(now_s))
    rows: list[dict[str, object]] = []
    for unit, length, bound, scale in from_bounds:
        if bound is None:
            continue
        window = today[:length]
        spent, held = await books.state(LeaseId(scope, unit, window))
        rows.append(
            {
                "scope": scope,
                "unit": unit,
                "window": window,
                "limit": bound,
                "spent": spent / scale,
                "held": held / scale,
                "alarm": spent >= budgets.alarm * bound * scale,
            }
        )
    return rows


def groups_in(text: str) -> list[str]:
    """Return the names in a list with commas."""
    return [name for name in text.split(",") if name]


def question_in(asked: dict[str, str], now_s: float, *, tenant: str | None) -> Question:
    """Read `since`, `until` and names from query parameters.

    Raises:
        RequestError: one is not known or not readable.
    """
    since = asked.pop("since", None)
    until = asked.pop("until", None)
    key_id, model = asked.pop("key_id", None), asked.pop("model", None)
    if asked:
        name = next(iter(asked))
        raise RequestError(
            f"`{name[:50]}` is not known here", param=name[:50], code="unknown_parameter"
        )
    return Question(
        since_s=_time("since", since) if since else now_s - _DAYS * _DAY_S,
        until_s=_time("until", until) if until else None,
        tenant=tenant,
        key_id=key_id,
        model=model,
    )


def _time(name: str, text: str) -> float:
    """Read a UTC day or a Unix time."""
    try:
        if "-" in text:
            return float(timegm(time.strptime(text, "%Y-%m-%d")))
        return float(text)
    except ValueError:
        raise RequestError(
            f"`{name}` is wrong",
            fix="Write a day, as 2026-11-21, or a Unix time",
            param=name,
            code="invalid_value",
        ) from None
