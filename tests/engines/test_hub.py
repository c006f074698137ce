"""Fetching a model by its id, from a hub that speaks the real client's protocol on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"the same weights once more",
}
PROGRAM = """
import sys
from penstock.engines.hub import fetch
from penstock.ground.errors import UserError
try:
    print(fetch(sys.argv[1]))
except UserError as error:
    print(f"refused: {error}")
"""


class Hub(BaseHTTPRequestHandler):
    """One public model, `demo/tiny`, and one gated, `demo/gated`."""

    def do_HEAD(self) -> None:
        self._serve(with_body=False)

    def do_GET(self) -> None:
        self._serve(with_body=True)

    def _serve(self, *, with_body: bool) -> None:
        _, *parts = self.path.split("?")[0].split("/")
        if parts[:4] == ["api", "models", "demo", "tiny"] and "tree" in parts:
            files = [
                {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                for name, content in FILES.items()
            ]
            self._answer(json.dumps(files).encode(), with_body)
        elif parts[:4] == ["api", "models", "demo", "tiny"]:
            siblings = [{"rfilename": name} for name in FILES]
            facts = {"id": "demo/tiny", "sha": COMMIT, "siblings": siblings}
            self._answer(json.dumps(facts).encode(), with_body)
        elif parts[:2] == ["demo", "tiny"] and parts[-1] in FILES:
            self._answer(FILES[parts[-1]], with_body)
        elif "gated" in self.path:
            self._refuse(403, "GatedRepo")
        else:
            self._refuse(404, "RepoNotFound")

    def _answer(self, body: bytes, with_body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{abs(hash(body)):x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(hub: str, model: str, cache: Path) -> str:
    """What `fetch` says, in a process of its own: the client reads its settings at import."""
    env = {
        **os.environ,
        "HF_ENDPOINT": hub,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # Ten seconds each otherwise, in which a machine may stand still.
        "HF_HUB_ETAG_TIMEOUT": "60",
        "HF_HUB_DOWNLOAD_TIMEOUT": "60",
    }
    env.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-c", PROGRAM, model]
    done = subprocess.run(
        command, check=False, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_a_model_is_fetched_once_and_only_what_is_read(hub: str, tmp_path: Path) -> None:
    folder = Path(ask(hub, "demo/tiny", tmp_path))
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert ask("http://127.0.0.1:9", "demo/tiny", tmp_path) == str(folder)


def test_what_is_not_there_is_told(hub: str, tmp_path: Path) -> None:
    assert ask(hub, "demo/nope", tmp_path).startswith("refused: there is no model demo/nope")
    assert "gated" in ask(hub, "demo/gated", tmp_path)
    away = ask("http://127.0.0.1:9", "demo/other", tmp_path)
    assert away.startswith("refused: demo/other cannot be fetched")
