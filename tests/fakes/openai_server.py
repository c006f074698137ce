"""A gateway that answers from a script, over a real socket."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-penstock-test"
MODEL = "penstock-tiny"


class FakeGateway(ThreadingHTTPServer):
    """Answers every prompt with `You said: PROMPT.`; a few prompts do something else.

    `break`: the stream ends in its midst. `fail`: it carries an error. `hang`: it stops until
    `released` is set. `tool`: a tool is run first. `refuse`: 429. `garbage`: no JSON.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.released = threading.Event()
        self.closed_early = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def fake_gateway() -> Iterator[FakeGateway]:
    """A running `FakeGateway`, stopped at the end."""
    with FakeGateway() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: FakeGateway

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        if self._is_allowed():
            models = [{"id": name, "object": "model"} for name in (MODEL, "org-a")]
            self._send(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self._is_allowed():
            return
        self.server.asked.append(body)
        prompt = body["messages"][-1]["content"]
        if prompt == "refuse":
            self._fail(429, "too many requests", {"retry-after": "7"})
        elif prompt == "garbage":
            self._send_bytes(502, b"<html>bad gateway</html>", {"content-type": "text/html"})
        elif body.get("stream"):
            self._stream(prompt)
        else:
            self._send(200, _completion(f"You said: {prompt}."))

    def _is_allowed(self) -> bool:
        if self.headers["authorization"] == f"Bearer {KEY}":
            return True
        self._fail(401, "the API key is unknown", {})
        return False

    def _stream(self, prompt: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        if prompt == "tool":
            self._write(b': penstock.tool {"name":"calculate_math","status":"started"}\n\n')
            self._write(b': penstock.tool {"name":"calculate_math","status":"ok"}\n\n')
        for word in ("You ", "said: ", f"{prompt}."):
            self._write_chunk({"delta": {"content": word}, "finish_reason": None})
            if prompt == "hang" and word == "said: ":
                self._wait_for_client()
                return
            if prompt == "break":
                return
            if prompt == "fail":
                self._write(b'data: {"error": {"message": "the engine died"}}\n\n')
                return
        self._write_chunk({"delta": {}, "finish_reason": "length" if prompt == "long" else "stop"})
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        self._write(_data({"model": MODEL, "choices": [], "usage": usage}) + b"data: [DONE]\n\n")

    def _wait_for_client(self) -> None:
        """Send comments until the client hangs up, or the test ends."""
        try:
            while not self.server.released.wait(0.02):
                self._write(b": still here\n\n")
        except OSError:
            self.server.closed_early.set()

    def _write_chunk(self, choice: dict[str, object]) -> None:
        self._write(_data({"model": MODEL, "choices": [{"index": 0, **choice}]}))

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _fail(self, status: int, message: str, headers: dict[str, str]) -> None:
        self._send(status, {"error": {"message": message, "type": "error"}}, headers)

    def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        kind = {"content-type": "application/json"}
        self._send_bytes(status, json.dumps(body).encode(), {**kind, **(headers or {})})

    def _send_bytes(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _data(event: object) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _completion(text: str) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    return {"id": "x", "model": MODEL, "choices": [choice], "usage": usage}
