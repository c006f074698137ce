"""Tools that do what a test says."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial

from penstock.chat.accumulate import Call
from penstock.chat.calls import CallRunner
from penstock.chat.events import Step
from penstock.chat.streams import pulled

Act = Callable[[Mapping[str, object]], Awaitable[object]]

ONE_NUMBER: Mapping[str, object] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
}


def steps_of(runner: CallRunner, calls: Sequence[Call]) -> AsyncGenerator[Step, None]:
    """The steps of a round; closing it breaks the round off."""
    return pulled(partial(runner.run, calls))


class ActTool:
    """A tool whose call is `act`; `calls` keeps the arguments."""

    def __init__(
        self,
        name: str,
        act: Act,
        *,
        parameters: Mapping[str, object] | None = None,
        idempotent: bool = True,
    ) -> None:
        self.name, self._act, self.idempotent = name, act, idempotent
        function = {"name": name, "parameters": {"type": "object"} | dict(parameters or {})}
        self.definition: Mapping[str, object] = {"type": "function", "function": function}
        self.calls: list[Mapping[str, object]] = []

    async def call(self, arguments: Mapping[str, object]) -> object:
        """Keep the arguments, then act."""
        self.calls.append(arguments)
        return await self._act(arguments)


def returns(name: str, result: object, parameters: Mapping[str, object] | None = None) -> ActTool:
    """A tool that always answers the same."""

    async def act(arguments: Mapping[str, object]) -> object:
        return result

    return ActTool(name, act, parameters=parameters)


def fails(name: str, *errors: Exception, idempotent: bool = True) -> ActTool:
    """A tool that raises these one after the other, then answers "fine"."""
    left = list(errors)

    async def act(arguments: Mapping[str, object]) -> object:
        if left:
            raise left.pop(0)
        return "fine"

    return ActTool(name, act, idempotent=idempotent)


class Hanging:
    """A tool that never ends by itself; counts how many calls run and were cancelled."""

    name = "hang"
    idempotent = True
    definition: Mapping[str, object] = {
        "type": "function",
        "function": {"name": "hang", "parameters": {"type": "object"}},
    }

    def __init__(self) -> None:
        self.running = 0
        self.cancelled = 0

    async def call(self, arguments: Mapping[str, object]) -> object:
        """Wait for ever."""
        self.running += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return None
