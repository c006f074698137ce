"""`get_current_weather`: the weather of a city, from whatever source is configured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from penstock.ground.errors import ToolError


@dataclass(frozen=True, slots=True)
class Weather:
    """`celsius` and what the sky looks like, at the place the source understood."""

    location: str
    celsius: float
    conditions: str


class WeatherSource(Protocol):
    """Knows the weather of cities."""

    @property
    def label(self) -> str:
        """What the answer says it was taken from: `live` or `climate`."""

    async def at(self, location: str) -> Weather:
        """Return the weather there; raises `ToolError` if the place is not known."""


class WeatherTool:
    """Answers `{"location", "temperature", "unit", "conditions", "source"}`, in whole degrees."""

    name = "get_current_weather"
    idempotent = True
    definition: ClassVar[Mapping[str, object]] = {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "Current weather of a city",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {"type": "string", "description": "City, for example Paris"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": ["location"],
            },
        },
    }

    def __init__(self, source: WeatherSource) -> None:
        self._source = source

    async def call(self, arguments: Mapping[str, object]) -> object:
        """Look the place up; raises `ToolError` if it is not known."""
        location = str(arguments["location"]).strip()
        unit = arguments.get("unit", "celsius")
        if not location or len(location) > 100:
            raise ToolError("the location must be a city's name")
        weather = await self._source.at(location)
        degrees = weather.celsius if unit == "celsius" else weather.celsius * 9 / 5 + 32
        return {
            "location": weather.location,
            "temperature": round(degrees),
            "unit": unit,
            "conditions": weather.conditions,
            "source": self._source.label,
        }


def unknown_place(location: str) -> ToolError:
    """Return the error for a place no source knows."""
    return ToolError(f"no weather data for {location}")
