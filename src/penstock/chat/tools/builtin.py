"""The tools that come with Penstock."""

from dataclasses import dataclass
from pathlib import Path

from penstock.chat.ports import Tool
from penstock.chat.tools.climate import ClimateTable
from penstock.chat.tools.maths import MathTool
from penstock.chat.tools.search import Catalogue, SearchTool
from penstock.chat.tools.weather import WeatherSource, WeatherTool


@dataclass(frozen=True, slots=True)
class BuiltinSettings:
    """Where the built-in tools look.

    `weather` is a live source (`open_meteo.OpenMeteo`); none means the climate table.
    `database` is the path of an SQLite file with a `products` table; none means the sample
    catalogue.
    """

    weather: WeatherSource | None = None
    database: str | None = None


def builtin_tools(settings: BuiltinSettings) -> tuple[Tool, ...]:
    """Return `get_current_weather`, `calculate_math` and `search_database`.

    Raises:
        UserError: the database cannot be used.
    """
    return (
        WeatherTool(settings.weather or ClimateTable()),
        MathTool(),
        SearchTool(Catalogue(Path(settings.database) if settings.database else None)),
    )
