"""Lists in parts: what was made by a tenant, in the order in which it was made."""

from typing import Any, NamedTuple

from sqlalchemy import Select, Table, tuple_

from penstock.ground.errors import RequestError


class Page(NamedTuple):
    """Which part of a list: what comes after an id, so many at most, newest or oldest first."""

    after: str | None = None
    limit: int = 20
    newest_first: bool = True


def ordered(
    asked: "Select[Any]", table: Table, page: Page, first: tuple[float, str] | None
) -> "Select[Any]":
    """Return the query of a page and one row more; `first` is when and what it begins after."""
    place = tuple_(table.c.created_s, table.c.id)
    if page.newest_first:
        asked = asked.order_by(table.c.created_s.desc(), table.c.id.desc())
    else:
        asked = asked.order_by(table.c.created_s, table.c.id)
    if first is not None:
        asked = asked.where(place < first if page.newest_first else place > first)
    return asked.limit(page.limit + 1)


def no_start(after: str) -> RequestError:
    """Return the error for a page that begins after something that is not there."""
    return RequestError(
        f"there is nothing called {after[:100]!r} to begin after", param="after", code="not_found"
    )
