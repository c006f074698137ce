"""The same question by many at once: what it costs an engine with the response cache and without.

    python -m bench.joining [--clients 100] [--tokens 48]

The embedded engine with the shipped model stands behind one gateway. Tokens are those that the
gateway counted as computed; the time runs from the first request to the last answer.
"""

import argparse
import asyncio
import json
import sys
import time
import urllib.request
from contextlib import ExitStack

from bench.contenders import base_settings, gateway_process
from bench.engine import wait_until_ready
from bench.fairness import length_in, read_head
from bench.stand import BUILD, KEY, Cores, free_port, running

_MODEL = "penstock-tiny"


def _request(mode: str, tokens: int) -> bytes:
    body = json.dumps(
        {
            "model": _MODEL,
            "messages": [{"role": "user", "content": f"Tell me about Penstock ({mode})."}],
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
        }
    ).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
    head += f"authorization: Bearer {KEY}\r\nx-penstock-cache: {mode}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _ask(port: int, request: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await read_head(reader)
    answer = await reader.readexactly(length_in(head))
    writer.close()
    if b" 200 " not in head[:15]:
        raise RuntimeError(f"{head!r} {answer[:300]!r}")


async def _ask_at_once(port: int, request: bytes, clients: int) -> float:
    since_s = time.perf_counter()
    await asyncio.gather(*(_ask(port, request) for _ in range(clients)))
    return time.perf_counter() - since_s


def _computed(port: int) -> int:
    """Return the answer tokens that engines have computed, by the gateway's metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    counted = [
        line
        for line in lines
        if line.startswith("penstock_tokens_total{") and 'kind="completion"' in line
    ]
    return sum(int(float(line.rpartition(" ")[2])) for line in counted)


def main() -> int:
    """Measure and print a table in Markdown; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.joining", description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=48)
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        engine, port = free_port(), free_port()
        argv = [sys.executable, "-m", "penstock.engines.embedded", "--port", str(engine)]
        stack.enter_context(running(argv, "engine"))
        asyncio.run(wait_until_ready(f"http://127.0.0.1:{engine}"))
        settings = base_settings((engine,), port)
        settings["models"][0]["name"] = _MODEL
        settings["cache"] = {}
        stack.enter_context(gateway_process(settings, "penstock-joining", Cores(None, None)))
        asyncio.run(wait_until_ready(f"http://127.0.0.1:{port}"))
        asyncio.run(_ask(port, _request("off", 4)))
        print("| x-penstock-cache | seconds to the last answer | tokens computed |\n|---|---|---|")
        for mode in ("off", "on"):
            before = _computed(port)
            request = _request(mode, options.tokens)
            took_s = asyncio.run(_ask_at_once(port, request, options.clients))
            print(f"| {mode} | {took_s:.2f} | {_computed(port) - before:,} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
