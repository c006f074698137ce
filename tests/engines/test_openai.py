"""Servers that already run: reached, understood, and asked for the right model."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from penstock.engines.openai import choose_model, list_models
from penstock.ground.errors import EngineUnavailable, UserError


class Server(http.server.HTTPServer):
    status, body, key = 200, b'{"data": [{"id": "a"}, {"id": "b"}]}', ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        allowed = self.headers.get("authorization", "") == self.server.key
        self.send_response(self.server.status if allowed and self.path == "/v1/models" else 401)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.02,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
def test_models_are_listed(server: Server, ending: str) -> None:
    assert list_models(server.url + ending) == ["a", "b"]


def test_a_key_is_sent(server: Server) -> None:
    server.key = "Bearer k"
    assert list_models(server.url, "k") == ["a", "b"]
    with pytest.raises(EngineUnavailable, match=r"refuses us: HTTP 401.*engine\.api_key"):
        list_models(server.url)


@pytest.mark.parametrize(
    ("status", "body"), [(404, b""), (200, b"<html>"), (200, b"{}"), (200, b'{"data": [1]}')]
)
def test_what_is_no_such_server(server: Server, status: int, body: bytes) -> None:
    server.status, server.body = status, body
    with pytest.raises(EngineUnavailable, match="no OpenAI-compatible server"):
        list_models(server.url)


def test_nobody_there() -> None:
    with pytest.raises(EngineUnavailable, match=r"no engine answers at http://127.0.0.1:9"):
        list_models("http://127.0.0.1:9")


def test_choosing_a_model() -> None:
    assert choose_model("u", "b", ["a", "b"]) == "b"
    assert choose_model("u", None, ["a"]) == "a"
    with pytest.raises(UserError, match="which model of u"):
        choose_model("u", None, ["a", "b"])
    with pytest.raises(UserError, match=r"u has no model c: it serves a, b"):
        choose_model("u", "c", ["a", "b"])
