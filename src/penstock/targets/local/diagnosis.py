"""Why an engine failed, and what to do: read from how it ended and what it said last."""

import re
import signal
from pathlib import Path

from penstock.ground.errors import EngineDied, EngineUnavailable
from penstock.targets.local.child import Fate

READ_LINES, TAIL_LINES, TELLING_LINES = 400, 8, 3

_MODEL = "Check `model.id`: a folder with config.json and weights, or a Hugging Face id"
_MEMORY = "Free memory, serve a smaller model, or lower `model.context`"

_TOLD = (
    (
        r"address already in use|error while attempting to bind",
        "Free the port, or use another one",
    ),
    (
        r"cannot start .*: (No such file|Permission denied)",
        "Its program is missing: set it up anew",
    ),
    (r"out of memory|MemoryError|[Cc]annot allocate memory|bad_alloc", _MEMORY),
    (
        r"larger than the (maximum|available) |KV cache is needed|max seq len",
        "Lower `model.context`",
    ),
    (r"Illegal instruction", "This engine needs a newer CPU: use `engine.kind: embedded`"),
    (r"No space left on device", "Free some disk space"),
    (
        r"couldn't connect to|Name or service not known|Temporary failure in name resolution",
        "The model hub cannot be reached: check the network, or name a folder in `model.id`",
    ),
    (r"GatedRepoError|401 Client Error|gated repo", "Accept the model's licence and set HF_TOKEN"),
    (
        r"RepositoryNotFound|LocalEntryNotFound|HFValidationError|is not a local folder"
        r"|OSError: .*(config|tokenizer)|safetensors|does not appear to have"
        r"|[Cc]an(no|')t load|not a valid model|no model",
        _MODEL,
    ),
    (r"[Uu]nrecognized arguments|invalid choice", "Check `engine.extra_args`"),
    (r"ModuleNotFoundError|ImportError", "Its environment is broken: install it anew"),
)


def died_at_start(service: str, fate: Fate, log: Path, lines: list[str]) -> EngineDied:
    """The error for a process that ended before it was ready."""
    return EngineDied(
        f"{service} stopped before it was ready",
        why=str(fate),
        fix=remedy(fate, lines),
        where=_quote(log, lines),
    )


def never_ready(service: str, waited_s: float, log: Path, lines: list[str]) -> EngineUnavailable:
    """The error for a process that runs, but does not become ready."""
    return EngineUnavailable(
        f"{service} was not ready after {waited_s:.0f} s",
        fix=remedy(Fate(), lines),
        where=_quote(log, lines),
    )


def not_warm(service: str, status: int, log: Path, lines: list[str]) -> EngineUnavailable:
    """The error for an engine that is up, but does not answer a first request."""
    answer = f"HTTP {status}" if status else "no answer"
    return EngineUnavailable(
        f"{service} does not answer a first request",
        why=answer,
        fix=remedy(Fate(), lines),
        where=_quote(log, lines),
    )


def remedy(fate: Fate, lines: list[str]) -> str:
    """What the user can do about it, in one sentence."""
    if fate.signal == signal.SIGKILL:
        return f"Something killed it, most likely the kernel for lack of memory. {_MEMORY}"
    if fate.signal == signal.SIGILL:
        return "This CPU lacks an instruction it needs: use `engine.kind: embedded`"
    text = "\n".join(lines)
    for pattern, fix in _TOLD:
        if re.search(pattern, text):
            return fix
    return "Its log says more"


def telling(lines: list[str]) -> list[str]:
    """The last lines, and before them the errors that were named further up, each once.

    An engine of several processes prints its root cause long before its last words.
    """
    last = lines[-TAIL_LINES:]
    named: dict[str, str] = {}
    for line in lines[:-TAIL_LINES]:
        if "WARNING" in line:
            continue
        if found := re.search(r"\b[A-Za-z_.]*(Error|Exception): .+", line):
            named.setdefault(found.group(0), line)
    return [*list(named.values())[-TELLING_LINES:], *last]


def _quote(log: Path, lines: list[str]) -> str:
    if not lines:
        return f"{log} is empty"
    quoted = "".join(f"\n    | {line}" for line in telling(lines))
    return f"the end of {log}:{quoted}\n"
