"""Ten thousand tenants and a hundred thousand keys: how long a gateway starts and looks up.

    python -m bench.directory [--tenants 10000] [--keys 100000] [--postgres URL]

Measured are a gateway with a registry of one tenant and one with all of them, from its start to
its first answer; and `Admission.identify` of keys that were asked for before and of ones that
were not, with 100 keys and with all. SQLite, unless an empty PostgreSQL database is given.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from bench.contenders import base_settings, gateway_process
from bench.stand import BUILD, Cores, build_tools, free_port, running, wait_until_serving
from penstock.gateway.admission import Admission
from penstock.gateway.fleet import Fleet
from penstock.gateway.settings import Settings
from penstock.registry import keys
from penstock.registry.records import KeyRecord, Limits, Policy, TenantRecord
from penstock.registry.stores.accounts import AccountStore
from penstock.registry.stores.changes import Changes
from penstock.registry.stores.database import Database

LIMITS = Limits(requests_per_second=50, burst=100, requests_per_day=10_000)


def records(tenants: int, count: int) -> tuple[list[TenantRecord], list[KeyRecord], list[str]]:
    """Return tenants, their keys, and the keys' secrets."""
    named = [TenantRecord(f"tenant-{n}", Policy(("*",), (), LIMITS)) for n in range(tenants)]
    secrets = [f"ps-bench-{n:08d}" for n in range(count)]
    held = [
        KeyRecord(
            f"key-{n}", keys.digest_of(secret.encode()).hex(), secret[:8], f"tenant-{n % tenants}"
        )
        for n, secret in enumerate(secrets)
    ]
    return named, held, secrets


async def fill(url: str, tenants: list[TenantRecord], held: list[KeyRecord]) -> None:
    """Write them into a database."""
    database = Database(url)
    await database.create()
    store = AccountStore(database)
    await store.seed(tenants, [])
    await store.add_keys(held)
    await database.close()


def lookup_us(
    settings: Settings, tenants: list[TenantRecord], held: list[KeyRecord], secrets: list[str]
) -> tuple[float, float]:
    """Return microseconds of the first look-up of a key and of a later one; medians."""
    admission = Admission(settings, Fleet(settings.engines), clock=time.monotonic, wall=time.time)
    admission.learn(Changes(1, tuple(tenants), tuple(held)))
    chosen = [secret.encode() for secret in random.Random(7).sample(secrets, 100)]  # noqa: S311
    first: list[float] = []
    later: list[float] = []
    for seconds in (first, later):
        for secret in chosen:
            since_s = time.perf_counter()
            admission.identify(secret)
            seconds.append(time.perf_counter() - since_s)
    return statistics.median(first) * 1e6, statistics.median(later) * 1e6


@contextmanager
def filled(url: str, folder: str, cores: Cores, engine: int) -> Iterator[tuple[int, float]]:
    """A gateway over a registry that is there already; yields its pid and seconds to a 200."""
    port = free_port()
    settings = base_settings((engine,), port)
    settings["registry"] = {"folder": f"{folder}/usage", "database": url}
    since_s = time.monotonic()
    with gateway_process(settings, "directory", cores) as pid:
        wait_until_serving(port)
        yield pid, time.monotonic() - since_s


def report(tenants: int, count: int, rounds: int, postgres: str | None = None) -> list[str]:
    """Measure and return lines in Markdown."""
    cores, engine = Cores.choose(), free_port()
    named, held, secrets = records(tenants, count)
    mock, _ = build_tools()
    took: dict[str, list[float]] = {"1 tenant": [], f"{tenants:,} tenants": []}
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        urls = (f"{few}/registry.db", postgres or f"{many}/registry.db")
        asyncio.run(fill(urls[1], named, held))
        with running(Cores.pin(cores.tools, [str(mock), str(engine), str(free_port())]), "mock"):
            wait_until_serving(engine)
            for _ in range(rounds):
                for seconds, url, folder in zip(took.values(), urls, (few, many), strict=True):
                    with filled(url, folder, cores, engine) as (_, first_s):
                        seconds.append(first_s)
    settings = msgspec.convert(base_settings((engine,), 1), Settings)
    small = lookup_us(settings, named[:100], held[:100], secrets[:100])
    large = lookup_us(settings, named, held, secrets)
    few_s, many_s = (statistics.median(seconds) for seconds in took.values())
    return [
        f"- start to the first 200: {few_s:.2f} s with one tenant, {many_s:.2f} s with "
        f"{tenants:,} tenants and {count:,} keys in {'PostgreSQL' if postgres else 'SQLite'}: "
        f"{many_s - few_s:+.2f} s (bound: 3 s)",
        f"- look-up of a key: {small[1]:.2f} us among 100, {large[1]:.2f} us among {count:,}; the "
        f"first look-up of each: {small[0]:.0f} and {large[0]:.0f} us",
    ]


def main() -> int:
    """Print the figures; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.directory", description=__doc__)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgres", help="URL of an empty PostgreSQL database")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    for line in report(options.tenants, options.keys, options.rounds, options.postgres):
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
