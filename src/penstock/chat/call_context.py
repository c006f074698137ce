"""What a tool may know of the call it serves, beside its arguments; most need none of it.

A context variable, and no parameter: tools are written by others, and one that neither tells of
its progress nor calls on other services should not have to name either.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

Report = Callable[[float, float | None, str | None], None]
"""Tells how far the call is: done, of how much in all (if known), and in words."""

HeadersOf = Callable[[str], Mapping[str, str]]
"""Returns the headers of the trace (W3C `traceparent`) for the call of that id."""


def _nobody(done: float, total: float | None, message: str | None) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """`trace_headers` belong on requests that the tool makes; empty where nothing is traced."""

    report: Report = _nobody
    trace_headers: Mapping[str, str] = field(default_factory=dict)


_NO_CALL = CallContext()
_CALL: ContextVar[CallContext] = ContextVar("penstock_call")
_TRACE: ContextVar[HeadersOf | None] = ContextVar("penstock_trace", default=None)


def current_call() -> CallContext:
    """Return the context of the call that is running; outside of one, an empty one."""
    return _CALL.get(_NO_CALL)


def begin_call(call_id: str, report: Report) -> None:
    """Set the context of the call that this task runs."""
    trace = _TRACE.get()
    _CALL.set(CallContext(report, trace(call_id) if trace else {}))


def trace_calls(headers_of: HeadersOf) -> None:
    """Let the calls that this task starts belong to a trace."""
    _TRACE.set(headers_of)
