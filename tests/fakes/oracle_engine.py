"""An engine that knows the exam's answers, and forgets as many as it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from models.recipe.exam import Question


def reply_to(question: Question) -> dict[str, Any]:
    """The right answer as an OpenAI message."""
    calls = [
        {
            "id": f"call_{i}",
            "type": "function",
            "function": {"name": c.name, "arguments": json.dumps(dict(c.arguments))},
        }
        for i, c in enumerate(question.calls)
    ]
    if calls:
        return {"role": "assistant", "content": None, "tool_calls": calls}
    return {"role": "assistant", "content": question.text or "Hello!"}


@contextmanager
def serve_oracle(exam: list[Question], forgets: frozenset[str] = frozenset()) -> Iterator[str]:
    """Serve the answers at a loopback address, all but those of the kinds in `forgets`."""
    answers = {
        _key(list(q.messages), list(q.tools)): (
            {"role": "assistant", "content": "?"} if q.kind in forgets else reply_to(q)
        )
        for q in exam
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = answers[_key(body["messages"], body.get("tools", []))]
            content = json.dumps({"choices": [{"message": message}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _key(messages: list[Any], tools: list[Any]) -> str:
    return json.dumps([messages, tools], sort_keys=True)
