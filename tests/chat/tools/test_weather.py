"""The weather tool: its answer's shape, units, and what it refuses."""

import pytest

from penstock.chat.tools.weather import Weather, WeatherTool, unknown_place
from penstock.ground.errors import ToolError


class OneCity:
    """A source that knows Oslo."""

    label = "climate"

    async def at(self, location: str) -> Weather:
        if location != "Oslo":
            raise unknown_place(location)
        return Weather("Oslo", -2.4, "snowy")


async def test_the_answer_has_the_shape_the_model_is_trained_on() -> None:
    assert await WeatherTool(OneCity()).call({"location": " Oslo "}) == {
        "location": "Oslo",
        "temperature": -2,
        "unit": "celsius",
        "conditions": "snowy",
        "source": "climate",
    }


async def test_fahrenheit_is_converted_before_it_is_rounded() -> None:
    answer = await WeatherTool(OneCity()).call({"location": "Oslo", "unit": "fahrenheit"})
    assert isinstance(answer, dict)
    assert (answer["temperature"], answer["unit"]) == (28, "fahrenheit")


@pytest.mark.parametrize("location", ["Atlantis", "", "  ", "x" * 101])
async def test_unknown_places_are_errors(location: str) -> None:
    with pytest.raises(ToolError):
        await WeatherTool(OneCity()).call({"location": location})
