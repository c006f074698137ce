"""Examine the shipped model in the engines of this machine: `make model-eval`.

Starts the embedded engine and, where it is installed, the real vLLM in float32, asks both the
held-out prompts, prints the table and how often the two agree. The exit status is evaluate.py's.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from penstock.engines.embedded_launch import embedded_launch
from penstock.engines.launch import Launch
from penstock.engines.model_folder import read_facts
from penstock.engines.vllm import vllm_launch
from penstock.engines.vllm_environment import find
from penstock.manifest.model import Manifest

HERE = Path(__file__).resolve().parent
MODEL_FOLDER = HERE.parent / "src/penstock/engines/embedded/model"


def main() -> int:
    """Start the engines, run the exam, end the engines; returns its exit status."""
    exam = [sys.executable, str(HERE / "evaluate.py"), *sys.argv[1:]]
    with contextlib.ExitStack() as stack:
        embedded = stack.enter_context(serving(embedded_launch(Manifest(), free_port())))
        exam += ["--url", embedded]
        host = find()
        if host is None:
            print("vLLM is not installed: the embedded engine alone (`make vllm` installs it)")
        else:
            manifest = Manifest.model_validate({"model": {"dtype": "float32"}})
            facts = read_facts(str(MODEL_FOLDER))
            vllm = serving(vllm_launch(manifest, facts, host, free_port()))
            exam += ["--compare", stack.enter_context(vllm)]
        return subprocess.run(exam, check=False).returncode


@contextlib.contextmanager
def serving(launch: Launch) -> Iterator[str]:
    """Run an engine for the block and yield its address once it is ready.

    Raises:
        TimeoutError: it did not become ready in time.
        RuntimeError: it ended.
    """
    print(f"waiting for {launch.argv[0]} ... {launch.url}", file=sys.stderr)
    process = subprocess.Popen(
        launch.argv,
        env={**os.environ, **launch.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until_s = time.monotonic() + launch.ready_timeout_s
        while not is_ready(launch.url):
            if process.poll() is not None:
                raise RuntimeError(f"it ended with {process.returncode}: {' '.join(launch.argv)}")
            if time.monotonic() > until_s:
                raise TimeoutError(f"not ready in {launch.ready_timeout_s:g} s: {launch.url}")
            time.sleep(0.1)
        yield launch.url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def is_ready(url: str) -> bool:
    """Whether the engine's health check is 200."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """Return a TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    raise SystemExit(main())
