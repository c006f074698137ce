"""The live weather, from an Open-Meteo compatible HTTP API.

Two requests: `/v1/search` finds the place, `/v1/forecast` its weather. Kept apart from
`weather.py` because httpx costs 30 ms and 6 MB, which only who configures an API should pay.
https://open-meteo.com/en/docs and https://open-meteo.com/en/docs/geocoding-api
"""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

from penstock.chat.tools.places import fold, split_place
from penstock.chat.tools.weather import Weather, unknown_place
from penstock.ground.errors import ToolError

_Answer = TypeVar("_Answer")

_GEOCODERS = {"api.open-meteo.com": "geocoding-api.open-meteo.com"}
_TIMEOUT_S = 10.0

# WMO code table 4677, as far as Open-Meteo uses it: the highest code of each kind of weather.
_CODES = (
    (0, "sunny"),
    (2, "partly cloudy"),
    (3, "cloudy"),
    (48, "foggy"),
    (57, "drizzle"),
    (67, "rainy"),
    (77, "snowy"),
    (82, "rainy"),
    (86, "snowy"),
    (99, "stormy"),
)


class _Place(msgspec.Struct):
    name: str
    latitude: float
    longitude: float
    country: str = ""
    country_code: str = ""
    admin1: str = ""


class _Places(msgspec.Struct):
    results: list[_Place] = []


class _Current(msgspec.Struct):
    temperature_2m: float
    weather_code: int


class _Forecast(msgspec.Struct):
    current: _Current


class OpenMeteo:
    """Asks the API at `base_url` (`https://api.open-meteo.com`, or one of your own).

    No connection is kept between calls, so there is nothing to close.
    """

    label = "live"

    def __init__(self, base_url: str) -> None:
        """Prepare the client; the public service finds places on a host of its own."""
        base = urlsplit(base_url.rstrip("/"))
        geocoder = base._replace(netloc=_GEOCODERS.get(base.netloc, base.netloc))
        self.forecast_url = f"{urlunsplit(base)}/v1/forecast"
        self.search_url = f"{urlunsplit(geocoder)}/v1/search"
        self._client = httpx.AsyncClient(
            timeout=_TIMEOUT_S, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def at(self, location: str) -> Weather:
        """Return the weather now.

        Raises:
            ToolError: no such place, or the service failed (transient if it may recover).
        """
        place = await self._find(location)
        where = {"latitude": str(place.latitude), "longitude": str(place.longitude)}
        forecast = await self._get(
            self.forecast_url,
            {**where, "current": "temperature_2m,weather_code"},
            _Forecast,
        )
        now = forecast.current
        return Weather(
            location=place.name,
            celsius=now.temperature_2m,
            conditions=describe_code(now.weather_code),
        )

    async def _find(self, location: str) -> _Place:
        _, within = split_place(location)
        asked = {"name": location.partition(",")[0].strip(), "count": "10", "language": "en"}
        places = await self._get(self.search_url, asked, _Places)
        for place in places.results:
            around = (place.country, place.country_code, place.admin1)
            if {fold(name) for name in around}.issuperset(within):
                return place
        raise unknown_place(location)

    async def _get(self, url: str, params: Mapping[str, str], kind: type[_Answer]) -> _Answer:
        try:
            answer = await self._client.get(url, params=params)
        except httpx.HTTPError as error:
            raise ToolError("the weather service cannot be reached", transient=True) from error
        if answer.status_code != httpx.codes.OK:
            raise ToolError(
                f"the weather service answered {answer.status_code}",
                transient=answer.status_code >= 500,
            )
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ToolError("the weather service sent what is not understood") from error


def describe_code(code: int) -> str:
    """Return a WMO weather code in words."""
    return next((words for highest, words in _CODES if code <= highest), "unknown")
