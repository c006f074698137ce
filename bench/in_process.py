"""What a request costs in Python alone: the whole way through the gateway, without sockets.

    python -m bench.in_process [--rounds 200]

A request's bytes are given to the gateway's connection, what it writes to its engine's connection
is answered at once, and the answer is what the client's connection is given to send. So the
kernel, the loop and everything that works beside the requests are left out; what is left is where
Python is spent. The least of many short measurements, microseconds of processor time.
"""

import argparse
import asyncio
import gc
import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import msgspec
from uvicorn.server import ServerState

from bench.contenders import base_settings, with_everything, with_ledger
from bench.stand import KEY, MODEL
from penstock.engines.conduit.connection import Connection
from penstock.gateway.admission import Admission
from penstock.gateway.caller import Caller
from penstock.gateway.charges import Charges
from penstock.gateway.settings import Settings
from penstock.registry.shared_gate import SharedGate
from penstock.wiring.gateway import make_gateway

_REQUESTS = 200
_PIECES = 200
_FILL = 10**15
_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": MODEL,
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "tok "}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11},
}


class _Wire:
    """A transport that keeps what was written last."""

    last = b""

    def write(self, data: bytes) -> None:
        self.last = data

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1) if "name" in name else default

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class Rig:
    """One gateway whose connections end in memory."""

    def __init__(self, settings: dict[str, Any]) -> None:
        made = msgspec.json.decode(json.dumps(settings), type=Settings)
        server = make_gateway(made)
        config = server._server.config
        protocol: Any = config.http
        front = protocol.keywords["doors"].begin.__self__
        self._charges: Charges = front._charges
        self._admission: Admission = front._admission
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"Sat, 21 Nov 2026 06:05:08 GMT")]
        self._door, self.client = protocol(config, state, {}), _Wire()
        self._door.connection_made(self.client)
        self._engines: list[Connection] = []
        for engine in server._fleet:
            connection = Connection(engine.name, engine.pool._open)
            connection.connection_made(_Wire())  # type: ignore[arg-type]
            connection.was_idle = True
            engine.pool._idle.append(connection)
            self._engines.append(connection)
        self._caller: Caller = self._admission.identify(KEY.encode())
        self.fill()

    def fill(self) -> None:
        """Do what the clerk and the server of the counters do: entries are safe, purses full."""
        slots = self._charges.slots
        if slots is not None:
            settled, slots.settled = slots.settled, []
            slots.free(settled)
            for purses in self._caller.purses:
                for purse in purses.current(time.time()):
                    purse.granted(_FILL, _FILL, 0.0)
        routes = self._admission.routes.values()
        gates = [*self._caller.gates, *(route.gate for route in routes if route.gate)]
        for gate in gates:
            if isinstance(gate, SharedGate):
                _fill(gate)

    def ask(self, request: bytes, pieces: list[bytes]) -> None:
        """Ask once, and let an engine answer with these pieces."""
        self._door.data_received(request)
        for engine in self._engines:
            if engine._exchange is not None:
                for piece in pieces:
                    engine.data_received(piece)
                return
        raise RuntimeError(f"no engine was asked: {self.client.last[:300]!r}")


def _fill(gate: SharedGate) -> None:
    parts = (
        getattr(gate.bucket, "piece", None),
        getattr(gate.tokens, "piece", None),
        gate._places,
    )
    for piece in parts:
        if piece is not None:
            piece.free = piece.held = piece.terms.capacity // 8
            piece.level, piece.touched, piece.company.online = 0.0, True, True


def request_bytes(*, streams: bool) -> bytes:
    """Return a request for a chat, head and body."""
    body = json.dumps(
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": "How many people live in Paris?"}],
            "max_tokens": 256,
            **({"stream": True} if streams else {}),
        }
    ).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    ) % (KEY.encode(), len(body), body)


def plain_answer() -> list[bytes]:
    """Return an engine's answer that is no stream, in one piece."""
    body = json.dumps(_ANSWER).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return [head % len(body) + body]


def _stream() -> list[bytes]:
    chunk = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"tok "}}]}\n\n'
    framed = b"%x\r\n%b\r\n" % (len(chunk), chunk)
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    done = b"data: [DONE]\n\n"
    return [head, *[framed] * _PIECES, b"%x\r\n%b\r\n0\r\n\r\n" % (len(done), done)]


def least_us(rig: Rig, request: bytes, pieces: list[bytes], rounds: int, times: int) -> float:
    """Return the least processor time of one request over `rounds` of `times`, microseconds."""
    least = float("inf")
    for _ in range(rounds):
        since_s = time.process_time()
        for _ in range(times):
            rig.ask(request, pieces)
        least = min(least, (time.process_time() - since_s) / times)
        rig.fill()
    return least * 1e6


def _settings(name: str, folder: str) -> dict[str, Any]:
    settings = base_settings((9001, 9002), 1)
    if name == "without":
        return settings
    if name == "ledger and budgets":
        return with_ledger(settings, folder)
    settings = with_everything(settings, folder, routed=name == "all, routed")
    settings["registry"]["counters_env"] = "BENCH_COUNTERS"
    return settings


async def _measure(rounds: int) -> None:
    os.environ["BENCH_COUNTERS"] = "redis://127.0.0.1:1"  # nobody asks it: see `Rig.fill`
    plain, answer = request_bytes(streams=False), plain_answer()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    for name in ("without", "ledger and budgets", "all", "all, routed"):
        with tempfile.TemporaryDirectory() as folder:
            rig = Rig(_settings(name, folder))
            rig.ask(plain, answer)
            if not rig.client.last.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{name}: {rig.client.last[:300]!r}")
            print(f"{name}: {least_us(rig, plain, answer, rounds, _REQUESTS):.1f} us a request")
            if name == "without":
                many, few = _stream(), _stream()
                del few[1 : 1 + _PIECES // 2]
                asked = request_bytes(streams=True)
                more = least_us(rig, asked, many, rounds, 2) - least_us(rig, asked, few, rounds, 2)
                print(f"{name}: {more / (_PIECES // 2):.2f} us a chunk of a stream")


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.in_process", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    asyncio.run(_measure(parser.parse_args().rounds))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
