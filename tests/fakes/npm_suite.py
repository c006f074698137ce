"""The MCP conformance suite from npm, installed once, and the key it cannot send."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

VERSION = "0.1.13"
"""The newest that runs on Node 20: later ones need `fs.globSync` of Node 22."""
FOLDER = Path("build") / f"mcp-conformance-{VERSION}"
_PROGRAM = FOLDER / "node_modules/@modelcontextprotocol/conformance/dist/index.js"


def command() -> tuple[str, str]:
    """Return how the suite is started; it is installed if it is not there yet."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.fail("the MCP conformance suite needs Node 20 or newer and npm: install them")
    if not _PROGRAM.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        package = f"@modelcontextprotocol/conformance@{VERSION}"
        options = ("--prefix", str(FOLDER), "--no-audit", "--no-fund", "--ignore-scripts")
        subprocess.run([npm, "install", *options, package], check=True, capture_output=True)
    return node, str(_PROGRAM)


@asynccontextmanager
async def with_key(port: int, key: str) -> AsyncGenerator[int, None]:
    """Pass requests on to `port` with a key put in; gives the port to ask."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            size = next((int(line.split(b":")[1]) for line in head.split(b"\r\n")
                         if line.lower().startswith(b"content-length:")), 0)  # fmt: skip
            body = await reader.readexactly(size)
            gateway, out = await asyncio.open_connection("127.0.0.1", port)
            with closing(out):  # also where the suite hangs up first
                more = f"authorization: Bearer {key}\r\nconnection: close\r\n\r\n".encode()
                out.write(_without_connection(head) + more + body)
                while data := await gateway.read(65_536):
                    writer.write(data)
                    await writer.drain()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def _without_connection(head: bytes) -> bytes:
    lines = head[:-4].split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join(kept) + b"\r\n"
