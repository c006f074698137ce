"""What becomes an entry of the cache: a whole, good answer, as its client was sent it."""

import asyncio
import logging
from collections import deque
from typing import NamedTuple

import msgspec

from penstock.chat.continuation import MARK_BYTES
from penstock.gateway.answer import Client
from penstock.gateway.charges import Charge
from penstock.gateway.faults import Fault
from penstock.gateway.flights import Lead
from penstock.gateway.listening import Listener
from penstock.gateway.transcript import assemble, events_in, read_response
from penstock.ground.clock import Clock
from penstock.registry.cache.stored import AnswerStore, Stored
from penstock.registry.entries import OUTCOMES, End

_COMPLETE, _GONE = OUTCOMES.index("complete"), OUTCOMES.index("client_gone")
_STREAM_FACTOR = 64
"""A token takes about so many times more room as an event of a stream than as text."""
_MOST_WAITING = 256

log = logging.getLogger("penstock.gateway")


class Place(NamedTuple):
    """Where an answer is to be kept, and for how many seconds."""

    key: bytes
    ttl_s: float


class Shelf:
    """Takes whole answers and keeps those that can be kept, off the hot path."""

    def __init__(self, store: AnswerStore, max_bytes: int, wall: Clock) -> None:
        """`max_bytes`: longest plain answer that is kept."""
        self.store, self.max_bytes, self._wall = store, max_bytes, wall
        self._waiting: deque[tuple[Place, bytes, End, Lead | None]] = deque()
        self._wake = asyncio.Event()

    def listen(
        self, client: Client, place: Place, charge: Charge, lead: Lead | None = None
    ) -> "Keeper":
        """Return the client to be answered in place of `client`; `lead`: others wait for it."""
        return Keeper(client, self, place, charge, lead)

    def bring(self, place: Place, wire: bytes, end: End, lead: Lead | None = None) -> None:
        """Take an answer; where too many wait, it is not kept."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append((place, wire, end, lead))
            self._wake.set()
            if lead is not None:
                lead.taken = True
        elif lead is not None:
            lead.land(None)

    async def work(self) -> None:
        """Keep what is brought, for ever; run it as a task."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                place, wire, end, lead = self._waiting.popleft()
                stored = None
                try:
                    stored = await self._keep(place, wire, end)
                except Exception:
                    # One answer that is odd, or a defect, must not end the task that keeps all
                    # others. Its client has it already; it is only computed again next time.
                    log.exception("an answer could not be kept in the cache")
                finally:
                    if lead is not None:
                        lead.land(stored)

    async def _keep(self, place: Place, wire: bytes, end: End) -> Stored | None:
        body = await asyncio.to_thread(plain_answer, wire, end)
        if body is None or len(body) > self.max_bytes:
            return None
        now_s = self._wall()
        stored = Stored(now_s, now_s + place.ttl_s, end.prompt, end.completion, body)
        await self.store.put(place.key, stored)
        return stored


class Keeper(Listener):
    """Listens to one answer, and brings it to the shelf when its client had all of it."""

    def __init__(
        self, client: Client, shelf: Shelf, place: Place, charge: Charge, lead: Lead | None
    ) -> None:
        super().__init__(client, shelf.max_bytes * _STREAM_FACTOR)
        self._lead = lead
        self._shelf, self._place = shelf, place
        self._charge: Charge | None = charge
        self._route = charge.route
        self._end: End | None = None

    def ended(self, end: End) -> None:
        """Watcher: the account of the request is closed."""
        if self._end is None:
            self._end = end
        if self._lead is None:
            return
        if end.outcome == _COMPLETE:
            self._lead.ending = True
        elif end.outcome == _GONE:
            self._lead.leave()
        else:
            self._lead.land(None)

    def renew(self) -> None:
        """Client: its whole time again, for those too who wait for its answer."""
        super().renew()
        if self._lead is not None:
            self._lead.renew()

    def fail(self, fault: Fault) -> None:
        """Client: an error is the whole response."""
        super().fail(fault)
        if self._lead is not None:
            self._lead.land(None)

    def finish(self) -> None:
        """Client: complete; if it ended well, it is kept."""
        super().finish()
        end, charge = self._end, self._charge
        self._charge = None
        # Where another model has stood in, its answer is not this one's.
        is_own = charge is not None and charge.route is self._route
        is_whole = end is not None and end.outcome == _COMPLETE and not end.estimated
        if end is not None and is_own and is_whole and not self.cut:
            self._shelf.bring(self._place, b"".join(self.sent), end, self._lead)
        elif self._lead is not None:
            self._lead.land(None)


def plain_answer(wire: bytes, end: End) -> bytes | None:
    """Return the JSON of a good, whole answer; none for any other."""
    sent = read_response(wire)
    if sent.status != 200:
        return None
    if sent.streamed:
        events = events_in(sent.body)
        answer = assemble(events) if events and events[-1] == b"[DONE]" else None
    else:
        answer = msgspec.json.decode(sent.body)
    if not isinstance(answer, dict) or not answer.get("choices") or "error" in answer:
        return None
    if any(choice.get("finish_reason") is None for choice in answer["choices"]):
        return None
    if answer.get("usage") is None:
        answer["usage"] = {
            "prompt_tokens": end.prompt,
            "completion_tokens": end.completion,
            "total_tokens": end.prompt + end.completion,
        }
    body = msgspec.json.encode(answer)
    return None if MARK_BYTES in body else body  # a continuation is for one client, once
