"""The live weather against a real HTTP server on loopback."""

import asyncio

import pytest
from tests.fakes.chat_weather import weather_api

from penstock.chat.tools.open_meteo import OpenMeteo, describe_code
from penstock.chat.tools.weather import Weather, WeatherTool
from penstock.ground.errors import ToolError


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


async def test_a_place_is_found_and_its_weather_told() -> None:
    async with weather_api() as api:
        live = OpenMeteo(f"{api.url}/")
        assert await live.at("Paris") == Weather("Paris", 6.6, "cloudy")
        assert [path for path, _ in api.asked] == ["/v1/search", "/v1/forecast"]
        assert api.asked[0][1]["name"] == "Paris"
        assert api.asked[1][1] == {
            "latitude": "48.5",
            "longitude": "0.0",
            "current": "temperature_2m,weather_code",
        }
        answer = await WeatherTool(live).call({"location": "Paris", "unit": "fahrenheit"})
        assert answer == {
            "location": "Paris",
            "temperature": 44,
            "unit": "fahrenheit",
            "conditions": "cloudy",
            "source": "live",
        }


async def test_what_follows_a_comma_chooses_among_places() -> None:
    async with weather_api() as api:
        live = OpenMeteo(api.url)
        for location, longitude in (("Paris, texas", "1.0"), ("PARIS, France", "0.0")):
            await live.at(location)
            assert api.asked[-1][1]["longitude"] == longitude
        for unknown in ("Paris, Ontario", "Atlantis"):
            with pytest.raises(ToolError, match=f"no weather data for {unknown}"):
                await live.at(unknown)


@pytest.mark.parametrize(
    ("raw", "transient"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", True),
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n<p>", False),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"results":[1]}', False),
        (b"\x00\xff nonsense \r\n\r\n", True),
        (b"", True),
    ],
)
async def test_a_failing_service_is_a_tool_error(raw: bytes, transient: bool) -> None:
    async with weather_api() as api:
        api.broken = raw
        with pytest.raises(ToolError, match="the weather service") as caught:
            await OpenMeteo(api.url).at("Paris")
    assert caught.value.transient is transient


async def test_nobody_there_is_a_tool_error() -> None:
    async with weather_api() as api:
        url = api.url
    with pytest.raises(ToolError, match="cannot be reached") as caught:
        await OpenMeteo(url).at("Paris")
    assert caught.value.transient


async def test_it_leaves_no_task_and_no_connection() -> None:
    before = asyncio.all_tasks()
    async with weather_api() as api:
        await OpenMeteo(api.url).at("Paris")
    assert asyncio.all_tasks() == before


def test_the_public_service_finds_places_on_a_host_of_its_own() -> None:
    public = OpenMeteo("https://api.open-meteo.com")
    assert public.search_url == "https://geocoding-api.open-meteo.com/v1/search"
    assert public.forecast_url == "https://api.open-meteo.com/v1/forecast"
    own = OpenMeteo("https://weather.example/om/")
    assert own.search_url == "https://weather.example/om/v1/search"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "sunny"),
        (1, "partly cloudy"),
        (3, "cloudy"),
        (45, "foggy"),
        (51, "drizzle"),
        (63, "rainy"),
        (71, "snowy"),
        (80, "rainy"),
        (86, "snowy"),
        (95, "stormy"),
        (100, "unknown"),
    ],
)
def test_weather_codes_are_told_in_words(code: int, words: str) -> None:
    assert describe_code(code) == words
