"""One HTTP request on loopback, made with asyncio alone, so that it starts fast and can be cut.

Only http:// and answers that end with the connection: it asks processes we started whether they
are ready, nothing else.
"""

import asyncio
import json
from urllib.parse import urlsplit

MAX_ANSWER_BYTES = 1_048_576


async def ask(url: str, path: str, body: bytes | None = None, *, timeout_s: float) -> int:
    """The HTTP status of one request (POST when there is a body); 0 when nobody answers."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _exchange(url, path, body)
    except (OSError, ValueError, EOFError, TimeoutError):
        return 0


async def is_ready(url: str, path: str, *, timeout_s: float = 2.0) -> bool:
    """Whether a GET of `path` is answered with 200."""
    return await ask(url, path, timeout_s=timeout_s) == 200


async def warm(url: str, model: str, *, timeout_s: float) -> int:
    """Ask for one token, so that the first client does not pay for the first run; the status."""
    body = {"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0}
    return await ask(url, "/v1/completions", json.dumps(body).encode(), timeout_s=timeout_s)


async def _exchange(url: str, path: str, body: bytes | None) -> int:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port or 80)
    try:
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        head += "Connection: close\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body or b'')}\r\n\r\n"
        writer.write(head.encode() + (body or b""))
        await writer.drain()
        status = int((await reader.readline()).split()[1])
        await reader.read(MAX_ANSWER_BYTES)
        return status
    except IndexError as error:
        raise ValueError("no status line") from error
    finally:
        writer.close()
