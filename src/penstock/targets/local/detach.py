"""Run a supervisor in the background: the parent waits until it is ready, then leaves.

The child is forked after the stack is put together and before anything is started (no threads
then), in a session of its own. It tells the parent every event, and its error, over a pipe, one
JSON object a line; the pipe is closed when the stack is ready.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn, TextIO

from penstock.ground.errors import EngineDied, EngineUnavailable, MachineError, PenstockError
from penstock.targets.local.event import STACK, Event, Phase, Report

Serve = Callable[[Report], Coroutine[None, None, bool]]


def detach(serve: Serve, *, log: Path, report: Report) -> int:
    """Start `serve` in the background; returns its process id once the stack is ready.

    Raises what the stack raised when it does not start. On Ctrl-C the background process is
    ended before KeyboardInterrupt goes on.
    """
    outlet, inlet = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(outlet)
        _live(serve, inlet, log)
    os.close(inlet)
    try:
        with os.fdopen(outlet, encoding="utf-8") as lines:
            if _relay(lines, report):
                return pid
    except BaseException:
        os.kill(pid, signal.SIGTERM)  # not yet waited for, so the id is still its own
        os.waitpid(pid, 0)
        raise
    os.waitpid(pid, 0)
    raise PenstockError("the background process ended before it was ready", where=str(log))


def _relay(lines: Iterable[str], report: Report) -> bool:
    """Report what the background process tells; true once the stack is ready."""
    for line in lines:
        told = json.loads(line)
        if "error" in told:
            raise _rebuild(**told["error"])
        event = Event(**{**told, "phase": Phase(told["phase"])})
        report(event)
        if event.service == STACK and event.phase is Phase.READY:
            return True
    return False


def _live(serve: Serve, inlet: int, log: Path) -> NoReturn:
    """Be the background process."""
    code = 1
    try:
        os.setsid()
        _redirect(log)
        with os.fdopen(inlet, "w", encoding="utf-8") as pipe:
            try:
                asyncio.run(serve(lambda event: _tell(pipe, asdict(event))))
                code = 0
            except PenstockError as error:
                _tell(pipe, {"error": _parts(error)})
    except BaseException:  # noqa: BLE001  nothing is above us: the log is the last place to say it
        traceback.print_exc()
    finally:
        os._exit(code)


def _tell(pipe: TextIO, told: Mapping[str, object]) -> None:
    """Write to the parent; it may have left, and then nobody needs to know."""
    with contextlib.suppress(BrokenPipeError):
        pipe.write(json.dumps(told) + "\n")
        pipe.flush()


def _redirect(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _parts(error: PenstockError) -> dict[str, str]:
    return {
        "kind": type(error).__name__,
        "what": error.what,
        "why": error.why,
        "fix": error.fix,
        "where": error.where,
    }


def _rebuild(kind: str, what: str, why: str, fix: str, where: str) -> PenstockError:
    """The error the background process raised; of a near kind where it took more arguments."""
    known = {one.__name__: one for one in (EngineDied, EngineUnavailable, MachineError)}
    return known.get(kind, PenstockError)(what, why=why, fix=fix, where=where)
