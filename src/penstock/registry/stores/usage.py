"""Questions to the ledger: sums by tenant, key, model, day..., and the entries themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import ColumnElement, and_, case, func, select

from penstock.ground.errors import RequestError
from penstock.registry.entries import Entry
from penstock.registry.records import NANO
from penstock.registry.stores.database import Database
from penstock.registry.stores.tables import ledger

GROUPS = ("tenant", "key_id", "model", "adapter", "engine", "outcome", "kind", "day")


@dataclass(frozen=True, slots=True)
class Question:
    """Which entries are meant; none is all. Times are Unix times, `until_s` is not included."""

    since_s: float = 0.0
    until_s: float | None = None
    tenant: str | None = None
    key_id: str | None = None
    model: str | None = None


class UsageStore:
    """Answers questions about what was used."""

    PAGE = 1000

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sums(self, question: Question, by: Sequence[str]) -> list[dict[str, object]]:
        """Return one row a group: its names, requests, tokens by kind, and dollars.

        Lines that are no request count with their tokens and dollars alone.

        Raises:
            RequestError: `by` names what there is not.
        """
        if unknown := [name for name in by if name not in GROUPS]:
            raise RequestError(
                f"cannot group by {unknown[0][:50]!r}",
                fix=f"There are: {', '.join(GROUPS)}",
                param="group_by",
                code="invalid_value",
            )
        groups = [self._group(name).label(name) for name in by]
        query = (
            select(
                *groups,
                func.count().label("lines"),
                func.coalesce(func.sum(_IS_REQUEST), 0).label("requests"),
                *(func.coalesce(func.sum(column), 0).label(name) for name, column in _SUMS),
            )
            .where(_matches(question))
            .group_by(*groups)
            .order_by(*groups)
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_shown(dict(row), by) for row in rows if row["lines"]]

    async def page(self, question: Question, after: str | None = None) -> list[Entry]:
        """Return up to `PAGE` matching entries in order of admission.

        `after` is `admitted_s,request_id` of the last one of the page before.

        Raises:
            RequestError: `after` is not of that form.
        """
        query = (
            select(ledger)
            .where(_matches(question))
            .order_by(ledger.c.admitted_s, ledger.c.request_id)
            .limit(self.PAGE)
        )
        if after is not None:
            admitted_s, request_id = _place(after)
            same = and_(ledger.c.admitted_s == admitted_s, ledger.c.request_id > request_id)
            query = query.where((ledger.c.admitted_s > admitted_s) | same)
        async with self._database.begin() as connection:
            return [Entry(*row) for row in (await connection.execute(query)).all()]

    def _group(self, name: str) -> ColumnElement[str]:
        if name != "day":
            return ledger.c[name]
        if self._database.is_sqlite:
            return func.strftime("%Y-%m-%d", ledger.c.admitted_s, "unixepoch")
        return func.to_char(
            func.timezone("UTC", func.to_timestamp(ledger.c.admitted_s)), "YYYY-MM-DD"
        )


_IS_REQUEST = case((ledger.c.kind == "request", 1), else_=0)
_SUMS = (
    ("prompt_tokens", ledger.c.prompt_tokens),
    ("cached_tokens", ledger.c.cached_tokens),
    ("completion_tokens", ledger.c.completion_tokens),
    ("cost_nano_usd", ledger.c.cost_nano_usd),
)


def _matches(question: Question) -> ColumnElement[bool]:
    terms = [ledger.c.admitted_s >= question.since_s]
    if question.until_s is not None:
        terms.append(ledger.c.admitted_s < question.until_s)
    for column, value in (
        (ledger.c.tenant, question.tenant),
        (ledger.c.key_id, question.key_id),
        (ledger.c.model, question.model),
    ):
        if value is not None:
            terms.append(column == value)
    return and_(*terms)


def _shown(row: dict[str, object], by: Sequence[str]) -> dict[str, object]:
    names = {name: row[name] for name in by}
    counts = {name: _whole(row[name]) for name in ("requests", *(name for name, _ in _SUMS[:3]))}
    return {**names, **counts, "usd": _whole(row["cost_nano_usd"]) / NANO}


def _whole(number: object) -> int:
    """Return a sum as it is: PostgreSQL's are decimals, and may be written `2.1E+8`."""
    return int(Decimal(str(number)))


def _place(after: str) -> tuple[float, str]:
    seconds, _, request_id = after.partition(",")
    try:
        return float(seconds), request_id
    except ValueError:
        raise RequestError("`after` is wrong", param="after", code="invalid_value") from None
