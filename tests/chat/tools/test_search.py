"""Product search: words, forms, hostile queries, slow and broken databases."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.chat.tools.search import Catalogue, SearchTool, query_words, word_forms
from penstock.ground.clock import FakeClock
from penstock.ground.errors import ToolError, UserError


def make_database(path: Path, rows: list[tuple[object, object, object]]) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE products (id, title, price)")
        database.executemany("INSERT INTO products VALUES (?, ?, ?)", rows)
        database.commit()
    return path


async def titles(catalogue: Catalogue, query: str) -> list[str]:
    return [title for _, title, _ in await catalogue.search(query_words(query))]


async def test_the_answer_has_the_shape_the_model_is_trained_on() -> None:
    tool = SearchTool(Catalogue())
    assert await tool.call({"query": "lamp"}) == {
        "query": "lamp",
        "count": 2,
        "results": [
            {"id": 3, "title": "Desk Lamp", "price": 39.5},
            {"id": 9, "title": "Floor Lamp", "price": 89.0},
        ],
    }
    assert await tool.call({"query": "zeppelin"}) == {
        "query": "zeppelin",
        "count": 0,
        "results": [],
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("lamps", ["Desk Lamp", "Floor Lamp"]),
        ("LAMP", ["Desk Lamp", "Floor Lamp"]),
        ("a desk lamp", ["Desk Lamp"]),
        ("purple lamp", ["Desk Lamp", "Floor Lamp"]),
        ("knives", ["Pocket Knife", "Chef's Knife"]),
        ("glove", ["Leather Gloves"]),
        ("gloves", ["Leather Gloves"]),
        ("battery", ["Alkaline Batteries"]),
        ("batteries", ["Alkaline Batteries"]),
        ("boxes", ["Storage Box"]),
        ("shoes", ["Running Shoes"]),
        ("usb-c cable", ["USB-C Cable"]),
        ("kitchen", ["Coffee Mug", "Electric Kettle", "Toaster"]),
        ("amp", []),
        ("100%", []),
        ("_", []),
        ("' OR 1=1 --", []),
    ],
)
async def test_words_find_products(query: str, found: list[str]) -> None:
    assert await titles(Catalogue(), query) == found


@pytest.mark.parametrize("query", ["", "   ", "!?"])
async def test_a_query_needs_a_word(query: str) -> None:
    with pytest.raises(ToolError, match="no word"):
        await SearchTool(Catalogue()).call({"query": query})


def test_words_and_their_forms() -> None:
    assert query_words("The best of ALL") == ["best", "all"]
    assert query_words("the") == ["the"]
    assert len(query_words("x " * 1000)) == 8
    assert word_forms("glass") == ("glass",)
    assert word_forms("glasses") == ("glass",)
    assert word_forms("bus") == ("bus",)
    assert word_forms("shelf") == ("shelf", "shelves")
    assert word_forms("knife") == ("knife", "knives")


async def test_any_sqlite_file_with_products_will_do(tmp_path: Path) -> None:
    path = make_database(
        tmp_path / "my #1 data?.db",
        [("a", "100% Wool_Socks", 3), ("b", "Wool Hat", "2.5"), ("c", None, None)],
    )
    catalogue = Catalogue(path)
    assert await catalogue.search(["wool"]) == [
        ("a", "100% Wool_Socks", 3.0),
        ("b", "Wool Hat", 2.5),
    ]
    assert await titles(catalogue, "wool_s") == ["100% Wool_Socks"]
    assert await titles(catalogue, "woolxs") == []


async def test_the_file_is_only_read(tmp_path: Path) -> None:
    path = make_database(tmp_path / "p.db", [(1, "Lamp", 2)])
    before = path.read_bytes()
    for catalogue in (Catalogue(path), Catalogue()):
        assert "Lamp" in "".join(await titles(catalogue, "'; DROP TABLE products; -- lamp"))
        with (
            closing(catalogue.connect()) as database,
            pytest.raises(sqlite3.OperationalError, match="readonly"),
        ):
            database.execute("DELETE FROM products")
    assert path.read_bytes() == before


async def test_the_file_is_read_anew(tmp_path: Path) -> None:
    path = make_database(tmp_path / "p.db", [(1, "Lamp", 2)])
    catalogue = Catalogue(path)
    path.write_bytes(b"no longer a database" * 100)
    with pytest.raises(ToolError, match="cannot be read"):
        await titles(catalogue, "lamp")


def test_an_unfit_file_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unable to open"):
        Catalogue(tmp_path / "missing.db")
    (tmp_path / "text.db").write_text("hello, I am not a database at all" * 100)
    with pytest.raises(UserError, match="not a database"):
        Catalogue(tmp_path / "text.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE products (id, name)")
    with pytest.raises(UserError, match="lacks title, price"):
        Catalogue(tmp_path / "other.db")
    assert not (tmp_path / "missing.db").exists()


def endless(path: Path) -> Path:
    """A database whose `products` is a view that never ends."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE VIEW products AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL "
            "SELECT id + 1 FROM n) SELECT id, 'Lamp' AS title, 1.0 AS price FROM n"
        )
    return path


async def test_a_slow_query_ends_when_its_time_is_up(tmp_path: Path) -> None:
    clock, looks = FakeClock(), 0

    def seen() -> float:
        nonlocal looks
        looks += 1
        return clock()

    search = asyncio.create_task(Catalogue(endless(tmp_path / "p.db"), seen).search(["lamp"]))
    while looks < 20:  # noqa: ASYNC110 - the query runs in a thread, and has begun
        await asyncio.sleep(0.001)
    assert not search.done()
    clock.advance(6)
    with pytest.raises(ToolError, match="too long"):
        await search


async def test_a_query_nobody_waits_for_ends(tmp_path: Path) -> None:
    catalogue = Catalogue(endless(tmp_path / "p.db"), FakeClock())
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1) as only_thread:
        loop.set_default_executor(only_thread)
        task = asyncio.create_task(catalogue.search(["lamp"]))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The one thread is free again only when the query that never ends has ended.
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), timeout=60) == "free"


@given(st.text(max_size=200))
def test_any_query_has_an_answer(query: str) -> None:
    try:
        answer = asyncio.run(SearchTool(Catalogue()).call({"query": query}))
    except ToolError:
        return
    assert isinstance(answer, dict)
    assert answer["count"] == len(answer["results"]) <= 3
