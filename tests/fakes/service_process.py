"""A stand-in for an engine and for the gateway: a real process on a real socket.

`python service_process.py PORT MODE [MARK]`; MARK is for finding it in the process table. Modes:
`good`, `dies` (exit 3 after a traceback-like line), `deaf` (never ready), `slow` (the same, where
it is waited for longer), `cold` (ready, but the first request fails), `stubborn` (ignores
SIGTERM), `family` (starts a child in the group and one in a session of its own). SIGUSR1 makes any
of them hang.
"""

import http.server
import os
import signal
import subprocess
import sys
import time

port, mode, mark = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        good = mode not in ("deaf", "slow") and self.path in ("/health", "/ready")
        self.answer(200 if good else 503)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        print(f"completion {self.path}", file=sys.stderr, flush=True)
        self.answer(500 if mode == "cold" else 200)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *_: object) -> None:
        pass


if mode == "dies":
    print("ValueError: safetensors: the weights are damaged", file=sys.stderr, flush=True)
    sys.exit(3)
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(600))
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if mode == "family":
    sleeper = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)", mark]
    subprocess.Popen(sleeper)
    subprocess.Popen(sleeper, start_new_session=True)
print(f"{mode} listens at {port}, pid {os.getpid()}", file=sys.stderr, flush=True)
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
server.serve_forever(poll_interval=0.05)
