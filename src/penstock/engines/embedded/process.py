"""Puts the engine together, serves it, and ends it cleanly."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import uvicorn

from penstock.engines.embedded.cache import plan_room
from penstock.engines.embedded.engine import INLINE_PARAMETERS, Engine
from penstock.engines.embedded.intake import Defaults, Intake
from penstock.engines.embedded.model import Transformer
from penstock.engines.embedded.protocol import LoadAdapter
from penstock.engines.embedded.roster import Roster
from penstock.engines.embedded.server import Server
from penstock.engines.embedded.shape import read_shape
from penstock.engines.embedded.tokenizer import Tokenizer
from penstock.ground.errors import MachineError

log = logging.getLogger("penstock.embedded")

SMALL_STEP_TOKENS, LARGE_STEP_TOKENS = 256, 64
"""Tokens in a step of a model that computes inside the event loop, and of a larger one."""


def run(arguments: Namespace, folder: Path) -> None:
    """Serve the model in `folder` until SIGINT or SIGTERM.

    Raises:
        UserError: the port is taken, or the model or an adapter does not load.
    """
    begun_s = time.perf_counter()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    listener = bind(arguments.host, arguments.port)
    engine, server = assemble(arguments, folder)
    gc.collect()
    gc.freeze()
    host, port = listener.getsockname()[:2]
    log.info(
        "%s listens on http://%s:%d: %.1f M parameters, %d rows of %d tokens, loaded in %.2f s",
        arguments.served_model_name[0],
        host,
        port,
        engine.model.parameters / 1e6,
        engine.room.rows,
        engine.room.length,
        time.perf_counter() - begun_s,
    )
    config = _configure(server)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(engine, config, listener))


def bind(host: str, port: int) -> socket.socket:
    """Take the port before the model is loaded, without listening yet.

    Raises:
        MachineError: it is in use, or not ours to take.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
        if sys.platform != "win32":  # there it would let two processes share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise MachineError(
            f"cannot listen on {host}:{port}",
            why=error.strerror or str(error),
            fix="Choose another --port, or stop the process that uses it.",
        ) from error
    return listener


def assemble(arguments: Namespace, folder: Path) -> tuple[Engine, Server]:
    """Load the model, its tokenizer and the adapters named on the command line.

    Raises:
        UserError: one of them cannot be used.
    """
    shape = read_shape(folder)
    room = plan_room(
        shape,
        max_length=arguments.max_model_len,
        max_rows=arguments.max_num_seqs,
        budget_bytes=arguments.kv_cache_memory_bytes,
    )
    model = Transformer(folder, positions=room.length)
    tokenizer = Tokenizer(folder)
    roster = Roster(
        arguments.served_model_name,
        shape,
        root=str(folder),
        context=room.length,
        max_adapters=arguments.max_loras if arguments.enable_lora else 0,
    )
    for name, path in arguments.lora_modules:
        roster.load(LoadAdapter(lora_name=name, lora_path=path))
    intake = Intake(
        tokenizer,
        shape,
        Defaults.read(folder),
        context=room.length,
        tools=arguments.tool_call_parser == "hermes",
    )
    small = model.parameters <= INLINE_PARAMETERS
    budget = arguments.max_num_batched_tokens or (
        SMALL_STEP_TOKENS if small else LARGE_STEP_TOKENS
    )
    engine = Engine(model, tokenizer, room, token_budget=budget)
    return engine, Server(engine, intake, roster)


def _configure(server: Server) -> uvicorn.Config:
    return uvicorn.Config(
        server,
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=75,  # longer than a pool of connections keeps one idle
    )


async def _serve(engine: Engine, config: uvicorn.Config, listener: socket.socket) -> None:
    computing = asyncio.create_task(engine.run())
    http = _HttpServer(config, computing)
    computing.add_done_callback(http.stop)
    await http.serve(sockets=[listener])
    with contextlib.suppress(asyncio.CancelledError):
        await computing


class _HttpServer(uvicorn.Server):
    """uvicorn that ends the engine with it, at once, and leaves the exit code to us."""

    def __init__(self, config: uvicorn.Config, computing: asyncio.Task[None]) -> None:
        super().__init__(config)
        self._computing = computing

    def stop(self, _: asyncio.Task[None]) -> None:
        """Shut down because the engine has ended."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End running answers with an error, then close."""
        self._computing.cancel()
        await asyncio.sleep(0)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM, and do not raise them again after a clean end."""

        def leave(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        previous = {n: signal.signal(n, leave) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
