"""What clients feel of a batch: their latencies alone, beside one, and beside as many requests.

    python -m bench.batches [--seconds 8] [--clients 2]

The engine serves four at once, 25 ms each. Some clients ask one thing after the other; beside them
nobody, a batch that never ends, or eight further clients with the same work. One run.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from bench.contenders import base_settings, gateway_process, with_ledger
from bench.fairness import PLACES, ask
from bench.stand import BUILD, KEY, MODEL, Cores, free_port, running, wait_until_serving

LINES, RIVALS = 20_000, 8
_ENDPOINT = "/v1/chat/completions"


@contextmanager
def batch(port: int) -> Iterator[None]:
    """Have a batch answered, as long as the block lasts."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}]}
    line = {"method": "POST", "url": _ENDPOINT, "body": body}
    text = "\n".join(json.dumps({"custom_id": str(n), **line}) for n in range(LINES))
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", headers=headers) as client:
        form = {"files": {"file": ("lines", text.encode())}, "data": {"purpose": "batch"}}
        file = client.post("/files", **form).raise_for_status().json()  # type: ignore[arg-type]
        told = {"input_file_id": file["id"], "endpoint": _ENDPOINT, "completion_window": "24h"}
        made = client.post("/batches", json=told).raise_for_status().json()
        while client.get(f"/batches/{made['id']}").json()["status"] != "in_progress":
            time.sleep(0.05)
        yield
        client.post(f"/batches/{made['id']}/cancel").raise_for_status()


def answered(port: int) -> float:
    """Return how many lines were answered so far."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    found = [row for row in text.splitlines() if row.startswith("penstock_batch_lines_total{")]
    return sum(float(row.rpartition(" ")[2]) for row in found)


async def measure(port: int, counts: tuple[int, int], seconds: float) -> tuple[list[float], int]:
    """Return the clients' latencies, and the answers that their rivals got."""
    until_s = time.perf_counter() + seconds
    asking = [asyncio.create_task(ask(port, KEY, until_s)) for _ in range(sum(counts))]
    took = await asyncio.gather(*asking)
    mine, rivals = took[: counts[0]], took[counts[0] :]
    return [each for some in mine for each in some], sum(map(len, rivals))


def _told(engine: int, port: int, folder: str) -> dict[str, Any]:
    settings = with_ledger(base_settings((engine,), port), folder)
    settings["queue"] = {"max_running": PLACES}
    settings["batches"] = {"folder": f"{folder}/files"}
    return settings


def main() -> int:
    """Measure and print a table in Markdown; returns the exit code."""
    options = _options()
    BUILD.mkdir(parents=True, exist_ok=True)
    cores, engine = Cores.choose(), free_port()
    argv = Cores.pin(
        cores.tools, [sys.executable, "-m", "bench.fairness", "--engine", str(engine)]
    )
    rows: list[tuple[str, list[float], float]] = []
    with ExitStack() as stack:
        stack.enter_context(running(argv, "batches-engine"))
        for name, beside in (("nobody", 0), ("a batch", 0), (f"{RIVALS} clients", RIVALS)):
            port = free_port()
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            with gateway_process(_told(engine, port, folder), "batches", cores):
                wait_until_serving(port)
                with batch(port) if name == "a batch" else ExitStack():
                    before, counts = answered(port), (options.clients, beside)
                    took, theirs = asyncio.run(measure(port, counts, options.seconds))
                    rate = (theirs + answered(port) - before) / options.seconds
            rows.append((name, took, rate))
    _report(rows, options.clients)
    return 0


def _report(rows: list[tuple[str, list[float], float]], clients: int) -> None:
    print(f"{clients} clients, one request after the other; engine: {PLACES} at once, 25 ms each.")
    print("\n| beside them | requests/s | p50, ms | p95, ms | p99, ms | the others, /s |")
    print("|---|---|---|---|---|---|")
    for name, seconds, rate in rows:
        cuts = statistics.quantiles(seconds, n=100)
        told = " | ".join(f"{cuts[at - 1] * 1e3:.1f}" for at in (50, 95, 99))
        mine = len(seconds) / sum(seconds) * clients
        print(f"| {name} | {mine:.0f} | {told} | {rate:.0f} |")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.batches", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of one measurement")
    parser.add_argument("--clients", type=int, default=2, help="clients that are measured")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
