"""Starts the gateway as a process of its own, and speaks raw HTTP to it."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
from openai import OpenAI
from prometheus_client.parser import text_string_to_metric_families
from tests.fakes.left_behind import KEY

from penstock.gateway.routing.settings import BreakerSettings
from penstock.gateway.settings import (
    EngineSettings,
    KeySettings,
    ModelSettings,
    Settings,
    TenantSettings,
)
from penstock.registry import keys
from penstock.targets.local.ports import free_port

START_S = 60.0
TOOLS = ("get_current_weather", "calculate_math", "search_database")
ALICE, BOB, TINY = "ps-alice-secret", "ps-bob-secret", "ps-tiny-secret"
"""Keys of three tenants: alice may do all, bob has no tools, tiny has three requests."""

PATIENT = BreakerSettings(failures=10**9, least=10**9)
"""A breaker for tests in which one engine fails again and again."""


def settings_for(engines: Mapping[str, str], model: str = "scripted", **more: Any) -> Settings:
    """Settings of a gateway over `engines` (name to URL), all of which serve `model`."""
    names = tuple(engines)
    tenants = (
        TenantSettings("alice", tools=TOOLS, requests_per_second=1e6, burst=10**6,
                       requests_per_day=10**9),
        TenantSettings("bob", models=(model, "in-text", "judged"), requests_per_second=1e6,
                       burst=10**6, requests_per_day=10**9),
        TenantSettings("tiny", models=(model,), requests_per_second=0.01, burst=3),
    )  # fmt: skip
    fields: dict[str, Any] = {
        "engines": tuple(EngineSettings(name, url) for name, url in engines.items()),
        "models": (
            ModelSettings(model, names, context=2048),
            ModelSettings("org-a", names, parent=model),
            ModelSettings("in-text", names, tools_format="hermes"),
            ModelSettings("judged", names, verify_answers=True),
        ),
        "tenants": tenants,
        "keys": tuple(key_settings(*pair) for pair in
                      ((ALICE, "alice"), (BOB, "bob"), (TINY, "tiny"))),
        **more,
    }  # fmt: skip
    return Settings(**fields)


def key_settings(secret: str, tenant: str) -> KeySettings:
    """How `secret` stands in the settings."""
    return KeySettings(keys.digest_of(secret.encode()).hex(), keys.hint_of(secret), tenant)


class GatewayProcess:
    """A running gateway; leaving the block ends it."""

    def __init__(
        self,
        settings: Settings,
        *,
        is_ready: bool = True,
        variables: Mapping[str, str] | None = None,
        may_complain: bool = False,
    ) -> None:
        """`variables`: what it has in its environment beside ours.

        `may_complain`: whether its log may tell of a defect, for tests that make one.
        """
        self._may_complain = may_complain
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._path_ready = "/ready" if is_ready else "/health"
        self._clients: list[OpenAI] = []
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        file = folder / "gateway.json"
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(settings, port=self.port)))
        self._log = folder / "log"
        command = [sys.executable, "-m", "penstock.cli.gateway", "--settings", str(file)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stderr=log, env={**os.environ, **(variables or {})}
            )

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            log = self.log
            self._folder.cleanup()
        assert self._may_complain or "Traceback" not in log, log
        assert KEY.search(log.encode()) is None, log

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url + self._path_ready, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def log(self) -> str:
        """What the process has written."""
        return self._log.read_text()

    def get(self, path: str, key: str | None = ALICE) -> httpx.Response:
        """Fetch `path`."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.get(self.url + path, headers=headers, timeout=60)

    def post(self, path: str, body: object, key: str | None = ALICE) -> httpx.Response:
        """Send `body` as JSON; bytes are sent as they are."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return httpx.post(self.url + path, content=content, headers=headers, timeout=60)

    def chat(self, prompt: str = "hi", key: str | None = BOB, **more: object) -> httpx.Response:
        """Ask `/v1/chat/completions`."""
        return self.post("/v1/chat/completions", chat_body(prompt, **more), key)

    def sdk(self, key: str = ALICE, **more: Any) -> OpenAI:
        """The official SDK, which does not try again; it is closed with the gateway."""
        client = OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, **more)
        self._clients.append(client)
        return client

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of `name` with these labels."""
        text = self.get("/metrics", None).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @contextmanager
    def connect(self) -> Iterator["RawClient"]:
        """A raw connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as sock:
            yield RawClient(sock)


def chat_body(prompt: str = "hi", model: object = "scripted", **more: object) -> dict[str, object]:
    """The body of a chat request."""
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **more}


def raw_chat(body: bytes | None = None, extra: bytes = b"", **more: object) -> bytes:
    """A whole chat request of bob's as bytes; `extra` headers end with CRLF."""
    content = msgspec.json.encode(chat_body("hi", **more)) if body is None else body
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n%b" % (
        BOB.encode(),
        extra,
    ) + b"content-length: %d\r\n\r\n%b" % (len(content), content)


class RawClient:
    """Bytes out, bytes in."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.got = bytearray()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_until(self, end: bytes) -> bytes:
        """Read until `end` has come; return everything up to it and keep the rest."""
        seen = 0
        while (at := self.got.find(end, seen)) < 0:
            seen = max(0, len(self.got) - len(end))
            self._receive()
        return self._take(at + len(end))

    def read_all(self) -> bytes:
        """Read until the gateway closes."""
        while data := self.socket.recv(262_144):
            self.got += data
        return self._take(len(self.got))

    def read(self, size: int) -> bytes:
        """Read just so many bytes."""
        while len(self.got) < size:
            self._receive()
        return self._take(size)

    def _receive(self) -> None:
        data = self.socket.recv(262_144)
        assert data, f"closed after {bytes(self.got[-1000:])!r}"
        self.got += data

    def _take(self, size: int) -> bytes:
        taken = bytes(self.got[:size])
        del self.got[:size]
        return taken

    def read_answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one response with a length: status, headers, body."""
        status, headers = self.read_head()
        return status, headers, self.read(int(headers["content-length"]))

    def read_head(self) -> tuple[int, dict[str, str]]:
        """Read a response head."""
        line, *rest = self.read_until(b"\r\n\r\n").decode().strip().split("\r\n")
        pairs = (header.partition(":") for header in rest)
        return int(line.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}
