"""From `penstock up` to the first token, everything already installed.

python -m bench.startup [--engine embedded|vllm] [--rounds 3]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PENSTOCK = str(Path(sys.executable).parent / "penstock")


def first_token_s(engine: str, directory: str) -> float:
    """Start a stack, wait for the first streamed text, stop it; returns the seconds that took."""
    since_s = time.monotonic()
    up = subprocess.run(
        [PENSTOCK, "up", "--engine", engine, "--detach", "--json", "--port", "0"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    try:
        stack = json.loads(up.stdout)
        body = {
            "model": stack["model"],
            "messages": [{"role": "user", "content": "Hello"}],
            "stream": True,
        }
        request = urllib.request.Request(
            f"{stack['url']}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={
                "content-type": "application/json",
                "authorization": f"Bearer {stack['api_key']}",
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            for line in answer:
                if line.startswith(b"data: {") and b'"content":"' in line:
                    delta = json.loads(line[6:])["choices"][0]["delta"]
                    if delta.get("content"):
                        return time.monotonic() - since_s
        raise RuntimeError("the stream ended without text")
    finally:
        subprocess.run([PENSTOCK, "down"], cwd=directory, capture_output=True, check=True)


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=__doc__)
    parser.add_argument("--engine", choices=["embedded", "vllm"], default="embedded")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        times = [first_token_s(options.engine, directory) for _ in range(options.rounds)]
    print(
        f"{options.engine}: first token {statistics.median(times):.1f} s after `penstock up` "
        f"(median of {len(times)}: {', '.join(f'{seconds:.1f}' for seconds in times)})"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
