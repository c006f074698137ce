"""`python -m penstock.rehearsal`: AWS on loopback, until it is told to stop.

One line of JSON on stdout says where it is. It ends with its parent when `--with-parent` is given:
when stdin is closed.
"""

import argparse
import gc
import json
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from penstock.rehearsal.clock import ScaledClock
from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.stand_in import StandIn

RARELY = (100_000, 50, 100)
"""Service models are large and stay: looking for garbage among them costs a quarter of the CPU."""


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGINT, SIGTERM or, with `--with-parent`, the end of stdin."""
    gc.set_threshold(*RARELY)
    arguments = _parse(argv)
    folder = arguments.state or Path(tempfile.mkdtemp(prefix="penstock-rehearsal-"))
    folder.mkdir(parents=True, exist_ok=True)
    cloud = Cloud(arguments.region, folder.resolve(), ScaledClock(arguments.scale))
    cloud.enforces = arguments.enforce_iam
    stand_in = StandIn(cloud, arguments.port)
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    if arguments.with_parent:
        threading.Thread(target=_watch_stdin, args=(told,), daemon=True).start()
    stand_in.serve_in_background()
    said = {
        "url": cloud.url,
        "region": cloud.region,
        "account": cloud.account,
        "access_key": cloud.access_key,
        "secret_key": cloud.secret_key,
        "state": str(cloud.folder),
    }
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    told.wait()
    stand_in.stop()
    return 0


def _watch_stdin(told: threading.Event) -> None:
    sys.stdin.buffer.read()
    told.set()


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m penstock.rehearsal", description="A local stand-in for AWS."
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="port on loopback; 0 picks a free one")
    add("--state", type=Path, metavar="FOLDER", help="where logs and files are kept")
    add("--region", default="us-east-1", help="the region (default: %(default)s)")
    add("--scale", type=float, default=60.0, help="AWS's seconds in one (default: %(default)s)")
    add("--enforce-iam", action="store_true", help="refuse what IAM's policies do not allow")
    add("--with-parent", action="store_true", help="stop when stdin is closed")
    return parser.parse_args(argv)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # every process is ended: to free all models one by one takes seconds
