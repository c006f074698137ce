"""A gateway whose weather takes a given time: `python -m bench.turns_gateway SETTINGS SECONDS`."""

import asyncio
import sys
from collections.abc import Mapping

from penstock.chat.tools.weather import WeatherTool
from penstock.wiring.gateway import run_gateway


def slow_weather(seconds: float) -> None:
    """Let the weather tool sleep so long and answer; it looks nothing up."""

    async def call(self: WeatherTool, arguments: Mapping[str, object]) -> object:
        if seconds:
            await asyncio.sleep(seconds)
        return {"location": arguments["location"], "temperature": 7, "conditions": "cloudy"}

    WeatherTool.call = call  # type: ignore[method-assign]


if __name__ == "__main__":
    slow_weather(float(sys.argv[2]))
    raise SystemExit(run_gateway(sys.argv[1]))
