"""`search_database`: products by words, from SQLite.

The words of the query reach SQL as parameters only, and the file is opened read-only. A query
runs in a thread; SQLite itself asks, every few thousand steps, whether its time is up or its
caller gone, so that a slow one ends instead of holding the thread.

Words match at the beginning of words, in the forms that plurals take, by LIKE. A full-text index
would rank better in a large file, but cannot be made in one that is only read; this way any
SQLite file with a `products` table will do.
"""

import asyncio
import re
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from penstock.ground.clock import Clock, monotonic
from penstock.ground.errors import ToolError, UserError

_LIMIT = 3
_MAX_WORDS = 8
_TIMEOUT_S = 5.0
_STEPS = 5_000
_FILLERS = frozenset({"a", "an", "and", "any", "for", "in", "of", "or", "some", "the", "with"})
_NEEDED = ("id", "title", "price")
_ALSO_SEARCHED = ("category", "description")

# Endings, and what to cut off and add for the beginnings that both numbers may have.
_ENDINGS: tuple[tuple[tuple[str, ...], tuple[tuple[int, str], ...]], ...] = (
    (("ss", "us", "is"), ((0, ""),)),
    (("ies",), ((1, ""), (3, "y"))),
    (("ves",), ((1, ""), (3, "f"))),
    (("ches", "shes", "sses", "xes", "zes"), ((2, ""),)),
    (("s",), ((1, ""),)),
    (("y",), ((0, ""), (1, "ies"))),
    (("fe",), ((0, ""), (2, "ves"))),
    (("f",), ((0, ""), (1, "ves"))),
)

Product = tuple[object, str, float]
"""Its id, title and price."""


class SearchTool:
    """Answers `{"query", "count", "results": [{"id", "title", "price"}]}`, the best three."""

    name = "search_database"
    idempotent = True
    definition: ClassVar[Mapping[str, object]] = {
        "type": "function",
        "function": {
            "name": "search_database",
            "description": "Search the catalogue",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string", "description": "Words to look for"}},
                "required": ["query"],
            },
        },
    }

    def __init__(self, catalogue: "Catalogue") -> None:
        self._catalogue = catalogue

    async def call(self, arguments: Mapping[str, object]) -> object:
        """Search; raises `ToolError` if the query has no word or the database fails."""
        query = str(arguments["query"])
        words = query_words(query)
        if not words:
            raise ToolError("the query has no word to search for")
        rows = await self._catalogue.search(words)
        results = [{"id": key, "title": title, "price": price} for key, title, price in rows]
        return {"query": query, "count": len(results), "results": results}


def query_words(query: str) -> list[str]:
    """Return the words worth searching for, in lower case; eight at most."""
    words = re.findall(r"\w+", query.lower())
    return ([word for word in words if word not in _FILLERS] or words)[:_MAX_WORDS]


def word_forms(word: str) -> tuple[str, ...]:
    """Return beginnings that singular and plural of an English word have: `lamps` -> `lamp`."""
    if len(word) < 4:
        return (word,)
    for endings, changes in _ENDINGS:
        if word.endswith(endings):
            return tuple(word[: len(word) - cut] + added for cut, added in changes)
    return (word,)


class Catalogue:
    """The `products` table of an SQLite file, or the sample in the package."""

    def __init__(self, path: Path | None = None, clock: Clock = monotonic) -> None:
        """Look at the table once.

        Raises:
            UserError: the file cannot be read, or has no `products` with id, title and price.
        """
        self._path, self._clock = path, clock
        try:
            with closing(self.connect()) as database:
                columns = {row[1] for row in database.execute("PRAGMA table_info(products)")}
        except sqlite3.Error as error:
            raise self._unusable(str(error)) from error
        if missing := [name for name in _NEEDED if name not in columns]:
            raise self._unusable(f"its table `products` lacks {', '.join(missing)}")
        searched = ["title", *(name for name in _ALSO_SEARCHED if name in columns)]
        self._texts = " || ' ' || ".join(f"coalesce({name}, '')" for name in searched)

    def connect(self) -> sqlite3.Connection:
        """Return a new connection, which can only read; raises `sqlite3.Error`."""
        if self._path is not None:
            return sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
        database = sqlite3.connect(":memory:")
        sample = files("penstock.chat.tools").joinpath("catalogue.sql").read_text("utf-8")
        database.executescript(f"{sample}PRAGMA query_only = ON;")
        return database

    async def search(self, words: Sequence[str]) -> list[Product]:
        """Return the best three products: those that match most words, titles first.

        Raises:
            ToolError: the database fails, or takes longer than five seconds.
        """
        stopped = threading.Event()
        try:
            return await asyncio.to_thread(self._search, words, stopped)
        finally:
            stopped.set()

    def _search(self, words: Sequence[str], stopped: threading.Event) -> list[Product]:
        sql, values = self._query(words)
        deadline_s = self._clock() + _TIMEOUT_S
        try:
            with closing(self.connect()) as database:
                database.set_progress_handler(
                    lambda: stopped.is_set() or self._clock() >= deadline_s, _STEPS
                )
                rows = database.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            late = stopped.is_set() or self._clock() >= deadline_s
            what = "the search took too long" if late else "the database cannot be read"
            raise ToolError(what) from error
        return [(key, title, price) for key, title, price, hits, _ in rows if hits == rows[0][3]]

    def _query(self, words: Sequence[str]) -> tuple[str, list[str]]:
        """Return SQL with a place for every form of every word, and the values that go there."""
        patterns = [[_pattern(form) for form in word_forms(word)] for word in words]
        hits = " + ".join(_any_of("texts", forms) for forms in patterns)
        in_title = " + ".join(_any_of("name", forms) for forms in patterns)
        # Only the number of words shapes the text; the words themselves are parameters.
        sql = f"""
            SELECT id, title, price, {hits} AS hits, {in_title} AS in_title
            FROM (SELECT id, CAST(title AS TEXT) AS title, CAST(price AS REAL) AS price,
                         ' ' || replace(title, '-', ' ') AS name,
                         ' ' || replace({self._texts}, '-', ' ') AS texts
                  FROM products)
            WHERE hits > 0 ORDER BY hits DESC, in_title DESC, id LIMIT {_LIMIT}
        """  # noqa: S608
        return sql, [form for forms in (*patterns, *patterns) for form in forms]

    def _unusable(self, why: str) -> UserError:
        return UserError(
            f"{self._path} cannot be searched",
            why=why,
            fix="Give `tools.database` an SQLite file with a table products (id, title, price).",
        )


def _any_of(column: str, forms: Sequence[str]) -> str:
    places = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for _ in forms)
    return f"({places})"


def _pattern(form: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", form)
    return f"% {escaped}%"
