"""The offline weather: the table itself, and finding a city in it."""

import datetime
from collections import Counter
from itertools import pairwise

import pytest

from penstock.chat.tools.climate import ClimateTable, read_table
from penstock.chat.tools.places import fold
from penstock.ground.errors import ToolError

JANUARY = datetime.date(2026, 1, 15)
JULY = datetime.date(2026, 7, 15)


def table_in(month: datetime.date) -> ClimateTable:
    return ClimateTable(today=lambda: month)


def test_the_table_is_whole_and_says_where_it_is_from() -> None:
    table = read_table()
    assert len(table.cities) >= 150
    assert "Approximate" in table.about
    assert "1991-2020" in table.source
    assert datetime.date.fromisoformat(table.date)
    for city in table.cities:
        assert len(city.celsius) == len(city.sky) == 12, city.name
        assert set(city.sky) <= set(table.skies), city.name
        assert all(-30 <= degrees <= 42 for degrees in city.celsius), city.name
        # A monthly mean never leaps; this catches a slip of the pen.
        steps = [abs(a - b) for a, b in pairwise(city.celsius)]
        assert max(steps) <= 14, city.name
    assert set(table.countries) <= {city.country for city in table.cities}


def test_no_name_stands_for_two_cities() -> None:
    names = Counter(
        folded
        for city in read_table().cities
        for folded in {fold(name) for name in (city.name, *city.names)}
    )
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Paris", "Paris"),
        ("paris, france", "Paris"),
        ("Paris, FR", "Paris"),
        ("New York, NY, USA", "New York"),
        ("NYC", "New York"),
        ("Washington, D.C.", "Washington"),
        ("münchen", "Munich"),
        ("MUNICH, Germany", "Munich"),
        ("Bombay", "Mumbai"),
        ("St. Petersburg", "Saint Petersburg"),
        ("sao paulo", "São Paulo"),
    ],
)
async def test_cities_are_found_as_people_write_them(asked: str, found: str) -> None:
    assert (await table_in(JULY).at(asked)).location == found


@pytest.mark.parametrize("asked", ["Atlantis", "Paris, Texas", "", ",", "France"])
async def test_what_is_not_in_the_table_is_not_made_up(asked: str) -> None:
    with pytest.raises(ToolError) as caught:
        await table_in(JULY).at(asked)
    assert caught.value.what == f"no weather data for {asked}"


async def test_the_month_decides() -> None:
    january, july = await table_in(JANUARY).at("Oslo"), await table_in(JULY).at("Oslo")
    assert (january.celsius, july.celsius) == (-2, 18)
    assert (january.conditions, july.conditions) == ("snowy", "partly cloudy")
    assert (await table_in(JANUARY).at("Sydney")).celsius == 23
