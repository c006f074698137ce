"""The embedded engine by itself: output tokens/s at 1, 8 and 32 streams over HTTP, start, memory.

    python -m bench.engine [--tokens 256] [--rounds 3] [--url http://127.0.0.1:PORT --model NAME]

Without `--url` it starts the embedded engine with the shipped model. Tokens are the engine's own
count (the usage at the end of each stream); the time runs from the first request to the last byte.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from bench.stand import BUILD, cpu_seconds, free_port, rss_mb, running

PROMPTS = ("Tell me about Penstock.", "What is the weather in Paris?", "Hello, who are you?")


async def stream(url: str, model: str, number: int, tokens: int) -> int:
    """Read one streamed answer of exactly `tokens` tokens; returns the engine's count.

    Raises:
        RuntimeError: the answer was not 200 or had no usage.
    """
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": PROMPTS[number % len(PROMPTS)]}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": tokens,
            "ignore_eos": True,
        }
    ).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {place.netloc}\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    for line in reversed(answer.splitlines()):
        if line.startswith(b"data: ") and b'"usage":{' in line:
            return int(json.loads(line[6:])["usage"]["completion_tokens"])
    raise RuntimeError(answer[:300].decode(errors="replace"))


async def rate(url: str, model: str, streams: int, tokens: int) -> float:
    """Return output tokens/s of `streams` streams at once."""
    since_s = time.monotonic()
    counts = await asyncio.gather(
        *(stream(url, model, number, tokens) for number in range(streams))
    )
    return sum(counts) / (time.monotonic() - since_s)


def main() -> int:
    """Measure and print a table; returns the exit code."""
    options = _options()
    BUILD.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        url, pid, ready_s = options.url, None, None
        if url is None:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            argv = [sys.executable, "-m", "penstock.engines.embedded", "--port", str(port)]
            since_s = time.monotonic()
            pid = stack.enter_context(running(argv, "engine"))
            asyncio.run(wait_until_ready(url))
            ready_s = time.monotonic() - since_s
        asyncio.run(rate(url, options.model, 4, 16))
        print("| streams | output tokens/s | per CPU-second of the engine |\n|---|---|---|")
        for streams in (1, 8, 32):
            rates, per_cpu = [], []
            for _ in range(options.rounds):
                before = cpu_seconds(pid) if pid else 0.0
                rates.append(asyncio.run(rate(url, options.model, streams, options.tokens)))
                used = cpu_seconds(pid) - before if pid else 0.0
                per_cpu.append(streams * options.tokens / used if used else float("nan"))
            middle = statistics.median
            print(f"| {streams} | {middle(rates):,.0f} | {middle(per_cpu):,.0f} |")
        if pid and ready_s is not None:
            print(f"\nready {ready_s:.2f} s after its start, {rss_mb(pid):.0f} MB at the end")
    return 0


async def wait_until_ready(url: str) -> None:
    """Wait until a server says that it is well; raises TimeoutError after 30 s."""
    place = urlsplit(url)
    for _ in range(3000):
        try:
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            answer = await reader.read(-1)
            writer.close()
        except ConnectionError:
            answer = b""
        if answer.startswith(b"HTTP/1.1 200"):
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"{url} did not become ready in 30 s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--tokens", type=int, default=256, help="length of each answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url", help="an engine that runs already")
    parser.add_argument("--model", default="penstock-tiny")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
