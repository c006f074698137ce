"""The tool calls of one request, on the books: a metric each, and a line of the ledger."""

import itertools
import logging

from penstock.chat.call_context import trace_calls
from penstock.chat.events import Outcome, Step, ToolFinished, ToolStarted
from penstock.gateway.caller import Caller
from penstock.gateway.charges import Charges
from penstock.gateway.spans import RequestSpan
from penstock.ground.errors import StoreUnavailable

_RAN: dict[Outcome, str] = {"ok": "complete", "error": "failed", "timeout": "timeout"}
"""Calls that a tool was run for, and what the ledger calls their end."""

log = logging.getLogger("penstock.gateway")


class ToolCalls:
    """Notes what the calls of one request tell; `end` gives up those that still run."""

    def __init__(
        self,
        charges: Charges,
        caller: Caller,
        request_id: bytes,
        span: RequestSpan | None = None,
    ) -> None:
        self._charges, self._caller, self._request_id = charges, caller, request_id
        self._span = span
        self._numbers = itertools.count(1)
        self._running: dict[str, tuple[str, float]] = {}

    def begin(self) -> None:
        """Let the calls that this task starts belong to the request's trace."""
        if self._span is not None:
            trace_calls(self._span.headers_of)

    def note(self, step: Step) -> None:
        """Take down what happened."""
        if self._span is not None:
            self._span.tool(step)
        if isinstance(step, ToolStarted):
            self._running[step.call_id] = step.name, self._charges.clock()
        elif isinstance(step, ToolFinished):
            self._running.pop(step.call_id, None)
            name = "unknown" if step.outcome == "unknown" else step.name
            meters = self._charges.meters
            meters.tool_called(name, self._caller.name, step.outcome, step.seconds)
            if step.outcome in _RAN:
                self._write(name, _RAN[step.outcome], step.seconds, step.outcome)
            elif self._charges.audit is not None:
                self._audit(self._next_id(), name, step.outcome, step.seconds)

    def end(self, outcome: str) -> None:
        """The request has ended so; harmless if it is called again."""
        now_s = self._charges.clock()
        for name, since_s in self._running.values():
            self._write(name, outcome, now_s - since_s, "given up")
        self._running.clear()

    def refused(self, name: str, why: str) -> None:
        """A call was asked for, and a limit did not let it in."""
        self._write(name, "refused", 0.0, why, refused=True)

    def _next_id(self) -> bytes:
        return b"%b/%d" % (self._request_id, next(self._numbers))

    def _write(
        self, name: str, outcome: str, seconds: float, note: str, *, refused: bool = False
    ) -> None:
        """Write a line; to the audit the note is the outcome, or why there was none."""
        call_id = self._next_id()
        try:
            self._charges.line(
                "tool",
                self._caller,
                name,
                outcome=outcome,
                seconds=seconds,
                request_id=call_id,
                note=note,
            )
        except StoreUnavailable as error:
            # The call has been made: its result is worth more than its line, which costs nothing.
            log.error("a call of the tool %s is not in the ledger: %s", name, error)
        if refused:
            self._audit(call_id, name, outcome, seconds, note)
        else:
            self._audit(call_id, name, note, seconds)

    def _audit(
        self, call_id: bytes, name: str, outcome: str, seconds: float, why: str = ""
    ) -> None:
        audit = self._charges.audit
        if audit is None:
            return
        try:
            audit.called(self._caller, call_id, (name, why), outcome, seconds)
        except StoreUnavailable as error:
            log.error("a call of the tool %s is not in the audit: %s", name, error)
