"""The gateway's side of the audit: records of requests, taken where they begin and end.

A request is in the spool before an engine is asked, and its end is before the client sees the end
of its answer: from then on it is acknowledged. All else is the archivist's work.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from penstock.gateway.admission import Route
from penstock.gateway.answer import Client
from penstock.gateway.caller import Caller
from penstock.gateway.faults import Fault
from penstock.gateway.listening import Listener
from penstock.ground.clock import Clock
from penstock.ground.errors import StoreUnavailable
from penstock.registry.audit.records import AuditEntry, pack_begun, pack_ended
from penstock.registry.audit.spool import BEGIN, END, WHOLE
from penstock.registry.entries import End

MAX_WIRE = 2 * 1024 * 1024
"""Bytes of an answer, as it goes over the wire, that are kept until it is read."""
MAX_BODY = 1024 * 1024
"""Bytes of a request's body that are kept until it is read."""

Content = Literal["none", "prompts", "full"]


class Spooling(Protocol):
    """What takes records: `registry.audit.spool.Spool`."""

    @property
    def has_room(self) -> bool:
        """Whether a request may begin."""

    def append(self, kind: int, payload: bytes) -> None:
        """Take a record; afterwards it is acknowledged."""


class Watcher(Protocol):
    """Is told how a request ends."""

    def ended(self, end: End) -> None:
        """It ends so; told before the client sees the end, and perhaps again: the first holds."""


class Account(Protocol):
    """What is looked at of a request's account: `charges.Charge`."""

    caller: Caller
    route: Route
    watchers: tuple[Watcher, ...]

    @property
    def engine(self) -> int:
        """Number of the engine that was asked last."""

    @property
    def noted(self) -> bytes:
        """What the ledger notes of it."""


class Auditing:
    """Writes records of requests and of administrators' actions."""

    def __init__(
        self,
        spool: Spooling,
        engines: Sequence[str],
        *,
        content: Content,
        addresses: bool,
        wall: Clock = time.time,
    ) -> None:
        """`engines` are their names, by number; `addresses`: whether the clients' are written."""
        self._spool, self._wall = spool, wall
        self._engines = [name.encode() for name in engines]
        self._content, self._addresses = content, addresses

    def begin(self, client: Client, charge: Account, path: bytes, body: bytes) -> Client:
        """Record that a request begins; returns the client to be answered in place of `client`.

        Raises:
            StoreUnavailable: it cannot be recorded, so it must not be answered.
        """
        address = client.address if self._addresses else b""
        self._begin(charge, client.request_id, path, address, body)
        if self._content == "full":
            listening = ListeningWitness(client, self, charge)
            charge.watchers = (*charge.watchers, listening)
            return listening
        charge.watchers = (*charge.watchers, Witness(client.request_id, self, charge))
        return client

    def begin_alone(
        self, request_id: bytes, charge: Account, path: bytes, body: bytes
    ) -> "Witness":
        """Record that a request begins that is not answered through a `Client`.

        Its caller closes it, with the answer. Raises as `begin` does.
        """
        self._begin(charge, request_id, path, b"", body)
        witness = Witness(request_id, self, charge, waits=self._content == "full")
        charge.watchers = (*charge.watchers, witness)
        return witness

    def _begin(
        self, charge: Account, request_id: bytes, path: bytes, address: bytes, body: bytes
    ) -> None:
        spool = self._spool
        if not spool.has_room:
            self.require_room()
        identity = b"%b%b%b" % (request_id, charge.caller.identity, charge.route.identity)
        kept = body[:MAX_BODY] if self._content != "none" else b""
        more = b"%b\0%b" % (path, address)
        spool.append(BEGIN, pack_begun(self._wall(), identity, more, kept))

    def require_room(self) -> None:
        """Make sure that what begins can be recorded.

        Raises:
            StoreUnavailable: it cannot, because nothing could be archived for long.
        """
        if not self._spool.has_room:
            raise StoreUnavailable("requests cannot be audited now", why="the audit is behind")

    def end(
        self,
        request_id: bytes,
        charge: Account,
        end: End,
        wire: bytes,
        *,
        is_cut: bool,
        note: bytes = b"",
    ) -> None:
        """Record how a request ended."""
        engine = charge.engine
        name = self._engines[engine] if engine < len(self._engines) else b""
        route = charge.route.identity
        if note:
            route = b"%b\0%b" % (route, note)
        now_s, names = self._wall(), (request_id, name, route)
        try:
            self._spool.append(END, pack_ended(now_s, names, end, wire, is_cut=is_cut))
        except StoreUnavailable:  # the end matters more than what was said
            lost = bool(wire)
            self._spool.append(END, pack_ended(now_s, names, end, b"", is_cut=lost))

    def refused(
        self, caller: Caller, model: str, request_id: bytes, outcome: str, why: str
    ) -> None:
        """Record a request that ended before it began, and `why`."""
        if not self._spool.has_room:
            return  # its client is told, and metrics count it
        entry = AuditEntry(
            self._wall(),
            "request",
            request_id.decode(),
            caller.name,
            caller.key_id,
            model[:100],
            outcome=outcome,
            note=why,
        )
        self._spool.append(WHOLE, msgspec.json.encode(entry))

    def called(
        self,
        caller: Caller,
        call_id: bytes,
        about: tuple[str, str],
        outcome: str,
        seconds: float,
    ) -> None:
        """Record that a tool was called, for the request before the `/` in `call_id`.

        `about` is the tool, and why the call was refused.
        """
        tool, why = about
        entry = AuditEntry(
            self._wall(),
            "tool",
            call_id.decode(),
            caller.name,
            caller.key_id,
            tool=tool[:100],
            outcome=outcome,
            seconds=round(seconds, 6),
            note=why,
        )
        self._spool.append(WHOLE, msgspec.json.encode(entry))

    def acted(self, key_id: str, action: str, target: str, status: int, details: object) -> None:
        """Record what an administrator did, or tried to do.

        Raises:
            StoreUnavailable: it cannot be recorded.
        """
        entry = AuditEntry(
            self._wall(),
            "admin",
            key_id=key_id,
            action=action,
            target=target,
            status=status,
            details=details,
        )
        self._spool.append(WHOLE, msgspec.json.encode(entry))


class Witness:
    """Sees one request through. Satisfies `charges.Watcher`."""

    __slots__ = ("_audit", "_charge", "_closed", "_end", "_note", "_request_id", "_waits")

    def __init__(
        self, request_id: bytes, audit: Auditing, charge: Account, *, waits: bool = False
    ) -> None:
        """`waits`: the end is recorded with the answer, by `close`."""
        self._request_id, self._audit, self._charge = request_id, audit, charge
        self._waits = waits
        self._end: End | None = None
        self._note = b""
        self._closed = False

    def ended(self, end: End) -> None:
        """Watcher: it ends."""
        if self._end is None:
            self._end, self._note = end, self._charge.noted
            if not self._waits:
                self.close(b"")

    def close(self, wire: bytes, *, is_cut: bool = False) -> None:
        """Record the end, once."""
        if self._end is None or self._closed:
            return
        self._closed = True
        told = self._request_id, self._charge, self._end
        self._audit.end(*told, wire, is_cut=is_cut, note=self._note)


class ListeningWitness(Listener):
    """Sees one request through, with its answer. Satisfies `answer.Client` and a watcher."""

    def __init__(self, client: Client, audit: Auditing, charge: Account) -> None:
        super().__init__(client, MAX_WIRE)
        self._witness = Witness(client.request_id, audit, charge, waits=True)
        self._ended = False

    def ended(self, end: End) -> None:
        """Watcher: it ends; what is sent next is the end of the answer, if anything is."""
        self._witness.ended(end)
        if not self._ended:
            self._ended = True
            asyncio.get_running_loop().call_soon(self._close)

    def keep(self, data: bytes) -> None:
        """Listener: keep what is about to be sent, and record the end before it is."""
        super().keep(data)
        if self._ended:
            self._close()

    def fail(self, fault: Fault) -> None:
        """Client: an error is the whole response."""
        if self._ended:
            self._close()
        super().fail(fault)

    def _close(self) -> None:
        self._witness.close(b"".join(self.sent), is_cut=self.cut)
