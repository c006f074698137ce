"""One round of tool calls: all at once, each bounded, none able to break the turn."""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from penstock.chat.accumulate import Call
from penstock.chat.call_context import begin_call
from penstock.chat.events import Outcome, Step, ToolFinished, ToolProgress, ToolStarted
from penstock.chat.ports import Tool
from penstock.chat.results import Rich, error_text, result_text
from penstock.chat.toolbox import Toolbox
from penstock.ground.clock import Clock, monotonic
from penstock.ground.errors import ToolError

_GRACE_S = 1.0
"""How long a call may take to stop once it is cancelled."""

_log = logging.getLogger(__name__)

Tell = Callable[[Step], None]
"""Gets the steps of a round as they happen; must not wait."""

_Content = tuple[Mapping[str, object], ...]
_Ended = tuple[Outcome, str, _Content]
_PROGRESS_AT_ONCE = 20
_PROGRESS_EVERY_S = 0.1
_MAX_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a turn may take; the defaults are the manifest's.

    `turn_timeout_s` ends the rounds of tools, not the model's last answer, which the server's own
    request timeout bounds. Calls beyond `max_calls` in one round are answered with an error.
    """

    max_rounds: int = 5
    call_timeout_s: float = 10.0
    turn_timeout_s: float = 120.0
    max_result_bytes: int = 16_384
    max_calls: int = 32


def read_arguments(text: str) -> dict[str, object]:
    """Return the arguments of a call as the model wrote them.

    Raises:
        ValueError: they are no JSON object; it says why.
    """
    if not text.strip():
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(f"they are not a JSON object: {error}") from error


class CallRunner:
    """Runs the calls of one turn; `deadline_s` is on `clock`.

    `others` are names of tools that the model may call and that are not run here.
    """

    def __init__(
        self,
        toolbox: Toolbox,
        bounds: Bounds,
        deadline_s: float,
        clock: Clock = monotonic,
        others: Collection[str] = (),
    ) -> None:
        self._toolbox, self._bounds, self._others = toolbox, bounds, others
        self._deadline_s, self._clock = deadline_s, clock
        # Names of tools: called wrongly in an earlier round, in this one, and rightly in this one.
        self._told, self._misfits, self._repaired = set[str](), set[str](), set[str]()
        self._left_behind = set[str]()  # ids of calls

    async def run(self, calls: Sequence[Call], tell: Tell) -> None:
        """Run one round; `tell` gets its steps as they happen, and each call its `result`.

        Cancelling it cancels every call and waits until they are gone, or for a second: a tool
        that does not stop when it is cancelled is left behind, and the log says so.
        """
        if not calls:
            return
        for call in calls:
            tell(ToolStarted(name=call.name, call_id=call.id))
        round_ = _Round(asyncio.get_running_loop(), tell, self._limit_s())
        tasks = round_.start([self._run(place, call, round_) for place, call in enumerate(calls)])
        try:
            await round_.over
            for call, task in zip(calls, tasks, strict=True):
                if round_.left and not task.done():
                    tell(self._leave_behind(call))
            self._take_note()
        finally:
            round_.close()
            if round_.left:
                await _stop([task for task in tasks if not task.done()])

    async def _run(self, place: int, call: Call, round_: "_Round") -> None:
        began = self._clock()
        begin_call(call.id, _Progress(call, round_.tell, self._clock).report)
        try:
            if place < self._bounds.max_calls:
                outcome, result, content = await self._end_of(call, round_)
            else:
                outcome, result, content = self._failed(
                    "error", f"too many calls at once; at most {self._bounds.max_calls} are run"
                )
            if call.id in self._left_behind:
                return
            call.result = result
            seconds = self._clock() - began
            round_.ended(ToolFinished(call.name, call.id, outcome, seconds, result, content))
        except BaseException as error:
            round_.fail(error)
            raise

    def _leave_behind(self, call: Call) -> ToolFinished:
        self._left_behind.add(call.id)
        _log.error("tool %s does not stop when it is cancelled; it is left behind", call.name)
        outcome, call.result, _ = self._failed("timeout", f"{call.name} took too long")
        seconds = self._bounds.call_timeout_s + _GRACE_S
        return ToolFinished(call.name, call.id, outcome, seconds, call.result)

    def waits(self, call: Call) -> bool:
        """Whether the user must approve `call`; one that would fail anyway needs no asking."""
        if not self._toolbox.needs_approval(call.name) or call.name not in self._toolbox:
            return False
        return not self._problems(call)[1]

    def deny(self, call: Call, why: str) -> ToolFinished:
        """End a call without running it; the model is told `why`."""
        outcome, call.result, _ = self._failed("denied", why)
        return ToolFinished(call.name, call.id, outcome, 0.0, call.result)

    async def _end_of(self, call: Call, round_: "_Round") -> _Ended:
        tool = self._toolbox.get(call.name)
        if tool is None:
            names = ", ".join((*self._toolbox.names, *self._others))
            return self._failed("unknown", f"there is no tool {call.name}; there are: {names}")
        arguments, problems = self._problems(call)
        if problems:
            return self._misfit(call.name, problems)
        self._repaired.add(call.name)
        if round_.limit_s <= 0:
            return self._failed("timeout", "the time for tools is used up")
        return await self._timed(tool, arguments, round_)

    def _problems(self, call: Call) -> tuple[dict[str, object], str]:
        """Return the arguments of a call, and what is wrong with them."""
        try:
            arguments = read_arguments(call.arguments)
        except ValueError as error:
            return {}, str(error)
        return arguments, self._toolbox.problems(call.name, arguments)

    def _misfit(self, name: str, problems: str) -> _Ended:
        """Tell the model once what to mend; when it has not, that the call has failed."""
        self._misfits.add(name)
        what = f"the arguments of {name} do not fit: {problems}"
        if name in self._told:
            again = "it was called with wrong arguments again, so this call has failed"
            return self._failed("bad_arguments", f"{what}; {again}")
        return self._failed("invalid", f"{what}; call {name} once more with arguments that fit")

    def _take_note(self) -> None:
        """Remember, at a round's end, which tools were called with wrong arguments."""
        self._told = (self._told | self._misfits) - self._repaired
        self._misfits, self._repaired = set(), set()

    def _limit_s(self) -> float:
        return min(self._bounds.call_timeout_s, self._deadline_s - self._clock())

    async def _timed(
        self, tool: Tool, arguments: Mapping[str, object], round_: "_Round"
    ) -> _Ended:
        try:
            result = await _call(tool, arguments)
            most = self._bounds.max_result_bytes
            if not isinstance(result, Rich):
                return "ok", result_text(result, most), ()
            fits = len(msgspec.json.encode(result.content)) <= most
            return "ok", result_text(result.value, most), result.content if fits else ()
        except ToolError as error:
            return self._failed("error", f"{error.what}: {error.why}" if error.why else error.what)
        except BaseException as error:
            # A tool is someone else's code: whatever it raises, also what ends a process, must not
            # end the turn. Only being cancelled from outside does.
            if isinstance(error, asyncio.CancelledError):
                if round_.has_expired():
                    why = f"{tool.name} took longer than {round_.limit_s:g} s"
                    return self._failed("timeout", why)
                if _is_cancelled():
                    raise
            # Its message may hold secrets or paths: it goes to the log, not to the model.
            _log.exception("tool %s failed", tool.name)
            return self._failed("error", f"{tool.name} failed")

    def _failed(self, outcome: Outcome, what: str) -> _Ended:
        return outcome, error_text(what, self._bounds.max_result_bytes), ()


class _Round:
    """Calls that run at the same time: who is told of them, and when they are `over`.

    `left` counts those that have not ended. At the limit they are cancelled, and a second later
    it is over without them. Once it is over nobody is told any more. One timer serves all calls:
    `asyncio.timeout` in each would cost as much as all the rest of a round.
    """

    __slots__ = ("_expired", "_loop", "_tasks", "_tell", "_timer", "left", "limit_s", "over")

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Tell, limit_s: float) -> None:
        self._loop, self._tell, self.limit_s = loop, tell, limit_s
        self.over: asyncio.Future[None] = loop.create_future()
        self._tasks: list[asyncio.Task[None]] = []
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None
        self.left = 0

    def start(self, runs: Sequence[Coroutine[object, object, None]]) -> list[asyncio.Task[None]]:
        """Let them run, until the limit at most."""
        self._tasks = [self._loop.create_task(run) for run in runs]
        self.left = len(self._tasks)
        self._timer = self._loop.call_later(max(0.0, self.limit_s), self._expire)
        return self._tasks

    def _expire(self) -> None:
        self._expired = True
        for task in self._tasks:
            task.cancel()
        self._timer = self._loop.call_later(_GRACE_S, self.close)

    def has_expired(self) -> bool:
        """Whether the running call, which was cancelled, was cancelled because of the limit."""
        task = asyncio.current_task()
        return self._expired and task is not None and task.uncancel() == 0

    def tell(self, step: Step) -> None:
        if not self.over.done():
            self._tell(step)

    def ended(self, end: ToolFinished) -> None:
        self.tell(end)
        self.left -= 1
        if not self.left:
            self.close()

    def fail(self, error: BaseException) -> None:
        if not self.over.done():
            self.over.set_exception(error)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.over.done():
            self.over.set_result(None)


class _Progress:
    """Passes on what a call tells of itself until it ends: a few, then ten a second at most."""

    def __init__(self, call: Call, tell: Tell, clock: Clock) -> None:
        self._call, self._tell, self._clock = call, tell, clock
        self._count, self._next_s = 0, 0.0

    def report(self, done: float, total: float | None, message: str | None) -> None:
        now_s = self._clock()
        late = self._count >= _PROGRESS_AT_ONCE and now_s < self._next_s
        if late or self._call.result:
            return
        self._count += 1
        self._next_s = now_s + _PROGRESS_EVERY_S
        told = message[:_MAX_MESSAGE] if message else None
        self._tell(ToolProgress(self._call.name, self._call.id, done, total, told))


async def _call(tool: Tool, arguments: Mapping[str, object]) -> object:
    try:
        return await tool.call(arguments)
    except ToolError as error:
        if not (tool.idempotent and error.transient):
            raise
    return await tool.call(arguments)


async def _stop(running: Collection[asyncio.Task[None]]) -> None:
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=_GRACE_S)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
