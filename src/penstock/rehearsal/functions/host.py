"""Lambda's runtime for Python, as far as the stand-in needs it: `python host.py FOLDER HANDLER`.

Serves one handler on `PENSTOCK_LISTEN`: the body of a POST is the event, the answer is what the
handler returns. An exception is answered with 500 and Lambda's error document. Only the standard
library is imported, because the function's own folder comes first.
"""

import importlib
import json
import os
import sys
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any


def main(folder: str, name: str) -> None:
    """Serve until told to stop."""
    sys.path.insert(0, folder)
    module, _, function = name.rpartition(".")
    handler = getattr(importlib.import_module(module.replace("/", ".")), function)
    host, _, port = os.environ["PENSTOCK_LISTEN"].rpartition(":")

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(200, {})

        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            context = SimpleNamespace(
                aws_request_id=self.headers.get("X-Request-Id", ""),
                function_name=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
            )
            try:
                self._say(200, handler(event, context))
            except Exception as error:  # noqa: BLE001  the function's own: it is told
                traceback.print_exc()
                told = {"errorMessage": str(error), "errorType": type(error).__name__}
                self._say(500, told)

        def _say(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing of each request."""

    ThreadingHTTPServer((host, int(port)), Door).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
