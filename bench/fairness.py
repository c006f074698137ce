"""One tenant floods, another asks one thing at a time: what the fair queue is worth.

    python -m bench.fairness [--seconds 8] [--clients 200]

The engine serves four at once in the order in which they come, 25 ms each. `flood` keeps 200
clients busy; `quiet` has one client. Measured are the quiet tenant's latencies by itself, beside
the flood without the queue, and beside the flood with it, all in one run.
"""

import argparse
import asyncio
import hashlib
import json
import statistics
import sys
import time
from contextlib import ExitStack
from typing import Any

from bench.contenders import base_settings, gateway_process
from bench.stand import BUILD, MODEL, Cores, free_port, running, wait_until_serving

FLOOD_KEY, QUIET_KEY = "bench-flood", "bench-quiet"
PLACES, SERVICE_S = 4, 0.025
_ANSWER = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
    }
).encode()

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


async def serve(port: int) -> None:
    """Be the engine: four at once, the others in the order in which they came."""
    places = asyncio.Semaphore(PLACES)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await read_head(reader):
            await reader.readexactly(length_in(head))
            if head.startswith(b"POST"):
                async with places:
                    await asyncio.sleep(SERVICE_S)
            writer.write(_HEAD % len(_ANSWER) + _ANSWER)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Return a head, empty where there is none any more."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def length_in(head: bytes) -> int:
    """Return its `content-length`."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def ask(port: int, key: str, until_s: float) -> list[float]:
    """Ask one thing after the other; returns the seconds each took.

    Raises:
        RuntimeError: an answer was no 200.
    """
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x"}]}).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n"
        b"content-length: %d\r\n\r\n%b"
    ) % (key.encode(), len(body), body)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took = []
    while (since_s := time.perf_counter()) < until_s:
        writer.write(request)
        head = await read_head(reader)
        answer = await reader.readexactly(length_in(head))
        if b" 200 " not in head[:15]:
            raise RuntimeError(f"{head!r} {answer!r}")
        took.append(time.perf_counter() - since_s)
    writer.close()
    return took


async def measure(port: int, clients: int, seconds: float) -> tuple[list[float], float]:
    """Return the quiet tenant's latencies and the flood's requests a second."""
    since_s = time.perf_counter()
    flood = [
        asyncio.create_task(ask(port, FLOOD_KEY, since_s + seconds + 1)) for _ in range(clients)
    ]
    await asyncio.sleep(1.0)
    quiet = await ask(port, QUIET_KEY, since_s + seconds)
    flooded = sum(len(each) for each in await asyncio.gather(*flood))
    return quiet, flooded / (time.perf_counter() - since_s)


def _told(engine: int, port: int) -> dict[str, Any]:
    settings = base_settings((engine,), port)
    tenant = settings["tenants"][0]
    settings["tenants"] += [{**tenant, "name": name} for name in ("flood", "quiet")]
    for name, key in (("flood", FLOOD_KEY), ("quiet", QUIET_KEY)):
        digest = hashlib.sha256(key.encode()).hexdigest()
        settings["keys"].append({"digest": digest, "hint": key[:8], "tenant": name})
    return settings


def main() -> int:
    """Measure and print a table in Markdown; returns the exit code."""
    options = _options()
    if options.engine:
        asyncio.run(serve(options.engine))
        return 0
    BUILD.mkdir(parents=True, exist_ok=True)
    cores, engine = Cores.choose(), free_port()
    argv = Cores.pin(
        cores.tools, [sys.executable, "-m", "bench.fairness", "--engine", str(engine)]
    )
    queue = {"max_running": PLACES}
    rows: list[tuple[str, list[float], float]] = []
    with ExitStack() as stack:
        stack.enter_context(running(argv, "fairness-engine"))
        for name, more, clients in (
            ("alone", {}, 0),
            ("beside the flood, no queue", {}, options.clients),
            ("beside the flood, fair queue", {"queue": queue}, options.clients),
        ):
            port = free_port()
            with gateway_process({**_told(engine, port), **more}, "fairness", cores):
                wait_until_serving(port)
                rows.append((name, *asyncio.run(measure(port, clients, options.seconds))))
    _report(rows, options.clients)
    return 0


def _report(rows: list[tuple[str, list[float], float]], clients: int) -> None:
    print(f"One client of `quiet` and {clients} of `flood`; engine: {PLACES} at once, 25 ms each.")
    print("\n| quiet tenant | requests | p50, ms | p95, ms | flood, requests/s |")
    print("|---|---|---|---|---|")
    tails = []
    for name, seconds, rate in rows:
        tails.append(statistics.quantiles(seconds, n=20)[-1])
        p50_ms, p95_ms = statistics.median(seconds) * 1e3, tails[-1] * 1e3
        print(f"| {name} | {len(seconds)} | {p50_ms:.0f} | {p95_ms:.0f} | {rate:.0f} |")
    print(f"\np95 without the queue against with it: x {tails[1] / tails[2]:.1f}; ", end="")
    print(f"with the queue against alone: x {tails[2] / tails[0]:.2f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of one measurement")
    parser.add_argument("--clients", type=int, default=200, help="clients of the flood")
    parser.add_argument("--engine", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
