"""Turns over HTTP: the loop between engine and tools, answered plain or as a stream."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from penstock.chat.calls import Bounds
from penstock.chat.continuation import Continuations, Ledger, MemoryLedger
from penstock.chat.events import Chunk, Event, Finished, ToolStarted
from penstock.chat.request import TurnRequest, read_request
from penstock.chat.sources import Toolboxes
from penstock.chat.sse import DONE
from penstock.chat.turn import Pace, Tell, Turn
from penstock.engines.conduit.framing import framed
from penstock.gateway.answer import EVENT_STREAM, JSON, LAST_CHUNK, Client
from penstock.gateway.caller import Caller
from penstock.gateway.charges import Charge, Charges
from penstock.gateway.completion import completion_of, tool_comment
from penstock.gateway.faults import fault_of
from penstock.gateway.passage import CachedTokens, Usage
from penstock.gateway.refusals import reason_of
from penstock.gateway.relay import WAKING, outcome_of
from penstock.gateway.settings import Settings
from penstock.gateway.tool_calls import ToolCalls
from penstock.gateway.upstream import Upstream
from penstock.ground.errors import (
    AnswerUnfit,
    EngineError,
    LimitExceeded,
    Overloaded,
    PenstockError,
    UserError,
)

_CHAT = b"/v1/chat/completions"
_MIN_KEY_BYTES = 32

log = logging.getLogger("penstock.gateway")


class Turns:
    """Starts turns with the tools each tenant is granted."""

    def __init__(
        self,
        settings: Settings,
        toolboxes: Toolboxes,
        charges: Charges,
        ledger: Ledger | None = None,
    ) -> None:
        """Compile the toolbox of every tenant.

        Continuations are signed with the key in the environment variable that the settings name,
        or with a random one, which no other replica and no later process knows. `ledger`
        remembers which approvals were answered; without one this process does, for itself.

        Raises:
            UserError: a tenant is granted a tool that does not exist, or two of one name; the key
                for continuations cannot be used.
        """
        self._toolboxes = toolboxes
        for tenant in settings.tenants:
            if missing := self.unknown(tenant.tools):
                raise UserError(
                    f"tenant {tenant.name} is granted a tool that does not exist",
                    why=", ".join(missing),
                    fix=f"There are: {', '.join(toolboxes.sources)}",
                )
            try:
                toolboxes.box(tenant.name, tenant.tools)
            except ValueError as error:
                raise UserError(
                    f"the tools of tenant {tenant.name} cannot be used", why=str(error)
                ) from error
        bounds = settings.tools
        self.bounds = Bounds(
            max_rounds=bounds.max_rounds,
            call_timeout_s=bounds.call_timeout_s,
            turn_timeout_s=bounds.turn_timeout_s,
            max_result_bytes=bounds.max_result_bytes,
        )
        self._charges = charges
        self._key = _continuation_key(bounds.continuation_key_env)
        self._approval_s = bounds.approval_timeout_s
        self._ledger = ledger or MemoryLedger(charges.wall)

    def unknown(self, names: Sequence[str]) -> list[str]:
        """Return those of `names` that are no tool of this gateway."""
        return self._toolboxes.unknown(names)

    def definitions_for(self, caller: Caller) -> msgspec.Raw:
        """Return the JSON list of tools granted to `caller`, in OpenAI's form."""
        return self._toolboxes.box(caller.name, caller.tools).definitions

    def begin(self, client: Client, charge: Charge, streams: bool, body: bytes) -> "TurnAnswer":
        """Start a turn that answers `client`.

        Raises:
            RequestError: a field does not go with the gateway's tools, or a tool of the client
                has the name of one of them.
        """
        continuations = Continuations(
            key=self._key,
            scope=charge.caller.name,
            holder=charge.caller.key_id,
            ledger=self._ledger,
            wall=self._charges.wall,
            approval_s=self._approval_s,
        )
        request = read_request(body, charge.route.traits)
        run = self._run(charge, request, client.request_id, continuations)
        return TurnAnswer(client, run, streams)

    async def ask(self, charge: Charge, body: bytes, request_id: bytes) -> Finished:
        """Run a turn to its end and return its answer; calls that need approval are denied.

        Raises:
            EngineError: no engine could answer.
        """
        run = self._run(charge, read_request(body, charge.route.traits), request_id)
        return await run.run(_nobody)

    def _run(
        self,
        charge: Charge,
        request: TurnRequest,
        request_id: bytes,
        continuations: Continuations | None = None,
    ) -> "_Run":
        upstream = Upstream(charge, _CHAT, request_id, patient=not request.streams)
        box = self._toolboxes.box(charge.caller.name, charge.caller.tools)
        trip = charge.trip

        def awake_s() -> float:  # what time it is held does not count
            return time.monotonic() - (trip.held_s if trip is not None else 0.0)

        turn = Turn(request, upstream, box, self.bounds, awake_s, continuations)
        if charge.span is not None:
            charge.span.turn()
        calls = ToolCalls(self._charges, charge.caller, request_id, charge.span)
        return _Run(turn, charge, calls, upstream)


def _continuation_key(variable: str | None) -> bytes:
    if variable is None:
        return secrets.token_bytes(_MIN_KEY_BYTES)
    key = os.environ.get(variable, "").encode()
    if len(key) < _MIN_KEY_BYTES:
        raise UserError(
            "the key for continuations cannot be used",
            why=f"the environment variable {variable} holds less than {_MIN_KEY_BYTES} bytes",
            fix=f"Set it to a long random text: export {variable}=$(openssl rand -hex 32)",
        )
    return key


class _Run:
    """One turn and its account: whatever ends it, what it used is counted, once."""

    def __init__(
        self, turn: Turn, charge: Charge, calls: ToolCalls, upstream: Upstream | None = None
    ) -> None:
        self._turn, self.charge, self._calls, self._upstream = turn, charge, calls, upstream
        self._passed = 1
        self._tell: Tell = _nobody
        self.since_s = time.perf_counter()
        self.expired = False

    async def run(self, tell: Tell, pace: Pace | None = None) -> Finished:
        """Run the turn; see `Turn.run`."""
        outcome = "failed"
        self._tell = tell
        self._calls.begin()
        try:
            finished = await self._turn.run(self._pass_on, pace)
            outcome = "complete"
            return finished
        except EngineError as error:
            outcome = outcome_of(error)
            raise
        except AnswerUnfit:
            outcome = "schema_not_met"
            raise
        except (LimitExceeded, Overloaded) as error:
            outcome = "refused"
            self.charge.note(reason_of(error))
            raise
        except asyncio.CancelledError:
            outcome = "timeout" if self.expired else "client_gone"
            raise
        finally:
            self.settle(outcome)

    def _pass_on(self, event: Event) -> None:
        self._note(event)
        self._tell(event)

    def _note(self, event: Event) -> None:
        """Note how far the turn has come, before the client has it."""
        if isinstance(event, Chunk):
            self._passed += event.events
            self.charge.passed(self._passed)
        elif isinstance(event, ToolStarted | Finished):
            seconds = time.perf_counter() - self.since_s
            done = isinstance(event, Finished)
            self._tell_span()
            self.charge.counted(self._usage(), done=done, seconds=seconds)
        if not isinstance(event, Chunk | Finished):
            self._calls.note(event)

    def _tell_span(self) -> None:
        if self.charge.span is not None:
            usage = self._turn.usage
            self.charge.span.used(usage.prompt_tokens, usage.completion_tokens)

    def show_waiting(self, beat: Callable[[], None]) -> None:
        """Let the client see by `beat` that its turn is held until the model wakes."""
        if self._upstream is not None:
            self._upstream.beat = beat

    def settle(self, outcome: str) -> None:
        """Close the account, once."""
        if not self.charge.open:
            return
        self._calls.end(outcome)
        seconds = time.perf_counter() - self.since_s
        unread = self._upstream.unread if self._upstream is not None else 0
        deltas = self._turn.unreported_deltas + unread
        self.charge.settle(outcome, self._usage(), deltas, seconds)

    def _usage(self) -> Usage:
        turn = self._turn
        cached = (turn.usage.prompt_tokens_details or {}).get("cached_tokens", 0)
        return Usage(
            turn.usage.prompt_tokens,
            turn.usage.completion_tokens,
            CachedTokens(cached) if cached else None,
        )


def _nobody(event: Event) -> None:
    """The answer is enough."""


class TurnAnswer:
    """Answers one client with a turn. Satisfies `answer.Answer`."""

    def __init__(self, client: Client, run: _Run, streams: bool) -> None:
        self._client, self._run = client, run
        self._told = self._paused = False
        self._unsent: list[bytes] = []
        if streams:
            run.show_waiting(partial(self._write, WAKING))
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._stream() if streams else self._plain())
        self._task.add_done_callback(self._ended)

    async def _plain(self) -> None:
        try:
            await self._run.run(self._answer)
        except PenstockError as error:
            self._client.fail(fault_of(error))
        except Exception as error:
            log.exception("request %s failed", self._client.request_id.decode())
            self._client.fail(fault_of(error))

    def _answer(self, event: Event) -> None:
        if isinstance(event, Finished):
            body = completion_of(event)
            self._client.write(self._client.head(200, JSON, len(body)) + body)
            self._client.finish()

    async def _stream(self) -> None:
        try:
            await self._run.run(self._tell, self._pace)
            self._close()
        except PenstockError as error:
            self._fail(error)
        except Exception as error:
            log.exception("request %s failed", self._client.request_id.decode())
            self._fail(error)

    def _tell(self, event: Event) -> None:
        if isinstance(event, Chunk):
            self._write(event.data)
        elif isinstance(event, Finished):
            self._write(DONE)
        else:
            self._write(tool_comment(event))

    async def _pace(self) -> None:
        if self._paused:
            self._flush()
            await self._client.drain()

    def _write(self, data: bytes) -> None:
        """Write soon: what is written without waiting in between leaves as one."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self, end: bytes = b"") -> None:
        if not self._unsent:
            if end:
                self._client.write(end)
            return
        data = b"".join(self._unsent)
        self._unsent.clear()
        payload = framed(data) if self._client.takes_chunks else data
        if not self._told:
            self._told = True
            self._run.charge.first_byte(time.perf_counter() - self._run.since_s)
            payload = self._client.head(200, EVENT_STREAM, None) + payload
        self._client.write(payload + end)

    def _close(self) -> None:
        self._flush(LAST_CHUNK if self._client.takes_chunks else b"")
        self._client.finish()

    def _fail(self, error: BaseException) -> None:
        if not self._told:
            self._unsent.clear()
            self._client.fail(fault_of(error))
            return
        self._write(b"data: " + fault_of(error).body + b"\n\n")
        self._close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Close what is open: a task that is cancelled before it begins runs none of its code."""
        self._run.settle("timeout" if self._run.expired else "client_gone")
        if task.cancelled() and self._run.expired:  # else the client has left: nobody to be told
            self._fail(TimeoutError())

    def cancel(self) -> None:
        """Answer: the client has left."""
        self._unsent.clear()
        self._task.cancel()

    def expire(self) -> None:
        """Answer: time is up."""
        self._run.expired = True
        self._task.cancel()

    def pause(self) -> None:
        """Answer: the next event waits until the client has caught up."""
        self._paused = True

    def resume(self) -> None:
        """Answer: the loop goes on."""
        self._paused = False
