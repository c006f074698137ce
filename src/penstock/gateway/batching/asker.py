"""Asks the lines of one batch, each until there is an answer to keep or the batch is ended."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from penstock.gateway.batching.course import NO_KEY, Course
from penstock.gateway.batching.kit import Kit
from penstock.gateway.batching.line_client import LineClient, Reply
from penstock.gateway.batching.lines import Line, line_of, lines_in, model_of, some_of
from penstock.gateway.batching.results import Leftover, Results, result_line
from penstock.gateway.caller import Caller
from penstock.ground.errors import StoreUnavailable
from penstock.registry.batches.records import BatchRecord

_TRIES = 3
_SICK = frozenset((408, 500, 502, 504))
"""Answers after which a line is asked again, a few times."""
_MOST_REST_S = 300.0
_MOST_BACKOFF_S = 60.0
_UNKNOWN_KEY_S = 2.0
_BUDGET_REST_S = 1.0


class Asker:
    """Asks the lines of one batch that have no result yet."""

    def __init__(self, kit: Kit, batch: BatchRecord, results: Results, course: Course) -> None:
        self._kit, self._batch, self._results, self._course = kit, batch, results, course
        self._path = batch.endpoint.encode()
        self._rest_until_s = 0.0
        self._asking = self._broke = 0
        self._lines: Iterator[tuple[int, bytes]] = iter(())
        self._ready: list[tuple[int, bytes]] = []
        self._reading = asyncio.Lock()

    async def ask_all(self, place: Path) -> None:
        """Ask the lines of the file at `place`.

        Raises:
            StoreUnavailable: it cannot go on now.
        """
        away: StoreUnavailable | None = None
        with closing(lines_in(place, self._kit.settings.max_body_bytes)) as self._lines:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self._kit.told.at_once):
                        group.create_task(self._ask_on())
            except* StoreUnavailable as several:
                first = several.exceptions[0]
                away = first if isinstance(first, StoreUnavailable) else None
        if away is not None:
            raise away

    async def _ask_on(self) -> None:
        while self._course.ending is None:
            line = await self._next()
            if line is None:
                return
            await self._see_through(line)

    async def _next(self) -> Line | None:
        """Return the next line that has no result yet."""
        async with self._reading:
            while True:
                for at, (number, data) in enumerate(self._ready):
                    if number not in self._results.done:
                        del self._ready[: at + 1]
                        return line_of(number, data)
                self._ready = await self._kit.threads.do(some_of, self._lines)
                if not self._ready:
                    return None

    async def _see_through(self, line: Line) -> None:
        """Ask until there is an answer to keep, or the batch is ended."""
        model = model_of(line, self._batch.endpoint)
        tries = sick = 0
        while await self.caller() is not None and await self._may_ask(model):
            try:
                caller = await self.caller()
                if caller is None:
                    return
                tries += 1
                request_id = self._request_id(line, tries)
                reply = await self._ask(line, caller, request_id)
            finally:
                self._kit.idle.leave(self._batch.tenant)
            sick += reply.status in _SICK
            if self._must_wait(reply, tries, caller, is_final=sick >= _TRIES):
                continue
            failed = reply.status != 200
            told = result_line(self._batch.id, line.number, line.custom_id, (request_id, reply))
            await self._results.add(line.number, told, failed=failed)
            row = self._batch.tenant, "failed" if failed else "completed"
            self._kit.ended[row] = self._kit.ended.get(row, 0) + 1
            return

    async def _may_ask(self, model: str) -> bool:
        """Wait until a line may be asked; false where the batch is ended before."""
        course = self._course
        while (rest_s := self._rest_until_s - self._kit.clock()) > 0 and course.ending is None:
            await course.pause(rest_s)
        if course.ending is not None:
            return False
        return await self._kit.idle.enter(self._batch.tenant, model, course)

    async def caller(self) -> Caller | None:
        """Return who asks; none where the batch is ended, as it is by a key that has ended.

        A key that is not known here may be later: keys of the registry are never removed, and
        those from elsewhere are not there before that place has answered. Nobody waits for one
        while a line has a place at an engine.
        """
        course = self._course
        while course.ending is None:
            caller = self._kit.admission.standing_behind(self._batch.digest)
            if caller is None:
                await course.pause(_UNKNOWN_KEY_S)
            elif caller.ends_s > self._kit.wall():
                return caller
            else:
                course.stop(NO_KEY)
        return None

    def _request_id(self, line: Line, tries: int) -> str:
        """Return an id that says which line of which batch this is; the ledger has it."""
        generation = self._batch.generation
        again = f"-{generation}.{tries}" if generation > 1 or tries > 1 else ""
        return f"{self._batch.id}-{line.number}{again}"

    async def _ask(self, line: Line, caller: Caller, request_id: str) -> Reply:
        kit = self._kit
        client = LineClient(request_id.encode(), kit.settings.request_timeout_s)
        self._asking += 1
        try:
            return await client.asked(
                lambda client: kit.front.begin_for(client, self._path, caller, line.body)
            )
        finally:
            self._asking -= 1

    def _must_wait(self, reply: Reply, tries: int, caller: Caller, *, is_final: bool) -> bool:
        """Whether a line is to be asked again, and then when."""
        if reply.status == 429 and _code_in(reply.body) == "insufficient_quota":
            self._run_short(reply, caller)
            return True
        self._broke = 0
        if reply.status == 429:
            self._rest(min(_MOST_REST_S, max(1.0, reply.after_s)))
        elif reply.status == 503:
            self._rest(max(reply.after_s, min(_MOST_BACKOFF_S, 0.5 * 2.0 ** min(tries, 10))))
        elif reply.status in _SICK and not is_final:
            self._rest(float(tries))
        else:
            return False
        return True

    def _run_short(self, reply: Reply, caller: Caller) -> None:
        """A budget does not reach: what others have reserved may come back, or it is over.

        Others are lines of this batch, of others, and clients of the same tenant.
        """
        purses = (purse for each in caller.purses for purse in each.now)
        if any(purse.reserved for purse in purses):
            self._broke = 0
        else:
            self._broke += not self._asking
        if self._broke >= _TRIES:
            told = msgspec.json.decode(reply.body)
            self._course.stop(Leftover("insufficient_quota", str(told["error"]["message"])))
        self._rest(_BUDGET_REST_S)

    def _rest(self, seconds: float) -> None:
        self._rest_until_s = max(self._rest_until_s, self._kit.clock() + seconds)


class _Error(msgspec.Struct):
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _Error


def _code_in(body: bytes) -> object:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(body, type=_Body).error.code
    return None
