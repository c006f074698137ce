"""A way to AWS on which a client dies: at its n-th call that changes something, by SIGKILL.

It dies before AWS has heard of the call, or after AWS has carried it out and before the answer
comes back: the two moments at which a client that is gone leaves something behind.
"""

import http.client
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

READING = re.compile(r"(Describe|List|Get|Head|Filter)")
HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(slots=True)
class Doom:
    """Who dies at which call, counted from 1; `heard` tells before from after."""

    pid: int
    call: int
    heard: bool


class DeadlyProxy:
    """Passes everything on to `upstream`; `calls` names what changed something, in order."""

    def __init__(self, upstream: str) -> None:
        self.calls: list[str] = []
        self.doom: Doom | None = None
        self._lock = threading.Lock()
        proxy = self
        address = urlsplit(upstream)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if proxy._strike(self, body, heard=False):
                    self.close_connection = True  # it died before anybody heard of it
                    return
                onward = http.client.HTTPConnection(str(address.hostname), address.port)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
                onward.request(self.command, self.path, body, headers)
                answer = onward.getresponse()
                said = answer.read()
                onward.close()
                proxy._strike(self, body, heard=True)
                try:
                    self.send_response(answer.status)
                    for name, value in answer.getheaders():
                        if name.lower() not in HOP:
                            self.send_header(name, value)
                    length = answer.getheader("Content-Length") if self.command == "HEAD" else None
                    self.send_header("Content-Length", length or str(len(said)))
                    self.end_headers()
                    self.wfile.write(said)
                except OSError:
                    self.close_connection = True  # the client is dead

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_any

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def begin(
        self, start: Callable[[], subprocess.Popen[str]], call: int, *, heard: bool
    ) -> subprocess.Popen[str]:
        """Count anew and start a process; it dies at its `call`-th call."""
        with self._lock:  # its first call waits until it is known
            process = start()
            self.calls, self.doom = [], Doom(process.pid, call, heard)
        return process

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _strike(self, request: BaseHTTPRequestHandler, body: bytes, *, heard: bool) -> bool:
        """Count a call; whether it is the one at which the client dies, which is killed then."""
        name = operation(request, body)
        if READING.match(name):
            return False
        with self._lock:
            if not heard:
                self.calls.append(name)
            doom = self.doom
            if doom is None or doom.heard is not heard or len(self.calls) != doom.call:
                return False
            self.doom = None
            os.kill(doom.pid, signal.SIGKILL)
            return True


def operation(request: BaseHTTPRequestHandler, body: bytes) -> str:
    """The name of an operation, as far as the wire tells it."""
    if target := request.headers.get("X-Amz-Target"):
        return target.rpartition(".")[2]
    if found := re.search(rb"(?:^|&)Action=(\w+)", body):
        return found[1].decode()
    verb = {"GET": "Get", "HEAD": "Head", "PUT": "Put", "DELETE": "Delete"}.get(request.command)
    return f"{verb or 'Post'} {request.path.partition('?')[0]}"
