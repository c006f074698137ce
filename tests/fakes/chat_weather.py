"""A weather API over real HTTP on loopback, with the two routes of Open-Meteo."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

PLACES = [
    {"name": "Paris", "country": "France", "country_code": "FR", "admin1": "Île-de-France"},
    {"name": "Paris", "country": "United States", "country_code": "US", "admin1": "Texas"},
]


class FakeWeather:
    """Knows two places called Paris; `asked` keeps the queries by route.

    `forecast` is what `/v1/forecast` answers; `broken` replaces every answer by raw bytes.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.forecast: Any = {"current": {"temperature_2m": 6.6, "weather_code": 3}}
        self.broken: bytes | None = None
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        target = urlsplit(head.split(b" ")[1].decode())
        query = {key: values[0] for key, values in parse_qs(target.query).items()}
        self.asked.append((target.path, query))
        writer.write(self.broken if self.broken is not None else self._answer(target.path, query))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def _answer(self, path: str, query: dict[str, str]) -> bytes:
        content = self.forecast
        if path == "/v1/search":
            known = enumerate(PLACES) if query["name"].lower() == "paris" else ()
            found = [place | {"latitude": 48.5, "longitude": n} for n, place in known]
            content = {"results": found} if found else {"generationtime_ms": 0.1}
        body = json.dumps(content).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        return head % len(body) + body


@asynccontextmanager
async def weather_api() -> AsyncGenerator[FakeWeather, None]:
    """Serve it on a free port of loopback."""
    fake = FakeWeather()
    async with await asyncio.start_server(fake.serve, "127.0.0.1", 0) as server:
        fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield fake
