"""The offline weather: what a month is usually like in some 250 cities.

It says so: its label is `climate`, never `live`. The figures are in `climate.json`.
"""

import datetime
from collections.abc import Callable
from importlib.resources import files
from typing import NamedTuple

import msgspec

from penstock.chat.tools.places import fold, split_place
from penstock.chat.tools.weather import Weather, unknown_place


class City(msgspec.Struct, frozen=True):
    """One line of the table: `celsius` is the mean by month, `sky` a letter of `skies` each."""

    name: str
    country: str
    celsius: tuple[int, ...]
    sky: str
    names: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


class Table(msgspec.Struct, frozen=True):
    """`climate.json`; `countries` holds other names of countries."""

    about: str
    source: str
    date: str
    skies: dict[str, str]
    countries: dict[str, tuple[str, ...]]
    cities: tuple[City, ...]


class _Known(NamedTuple):
    city: City
    lies_in: frozenset[str]


def read_table() -> Table:
    """Return the table that comes with the package."""
    data = files("penstock.chat.tools").joinpath("climate.json").read_bytes()
    return msgspec.json.decode(data, type=Table)


def utc_today() -> datetime.date:
    """Return the date in UTC."""
    return datetime.datetime.now(datetime.UTC).date()


class ClimateTable:
    """Answers with the mean of the present month."""

    label = "climate"

    def __init__(
        self, table: Table | None = None, today: Callable[[], datetime.date] = utc_today
    ) -> None:
        """Read the shipped table unless another is given; `today` decides on the month."""
        table = table or read_table()
        self._today = today
        self._skies = table.skies
        self._known: dict[str, list[_Known]] = {}
        for city in table.cities:
            around = (city.country, *table.countries.get(city.country, ()), *city.regions)
            known = _Known(city, frozenset(fold(name) for name in around))
            for name in {fold(name) for name in (city.name, *city.names)}:
                self._known.setdefault(name, []).append(known)

    async def at(self, location: str) -> Weather:
        """Return this month's mean; raises `ToolError` for a city that is not in the table.

        What follows a comma must fit: `Paris, France` is known, `Paris, Texas` is not.
        """
        city = self._find(location)
        if city is None:
            raise unknown_place(location)
        month = self._today().month - 1
        return Weather(
            location=city.name,
            celsius=city.celsius[month],
            conditions=self._skies[city.sky[month]],
        )

    def _find(self, location: str) -> City | None:
        name, within = split_place(location)
        for city, lies_in in self._known.get(name, ()):
            if lies_in.issuperset(within):
                return city
        return None
