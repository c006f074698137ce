"""What a turn needs to go on later, signed and carried by the client in the ids of its calls.

A turn that hands calls back (the client's own, or calls that wait for approval) is over; the
request that resumes it brings what the client saw, and nothing of the gateway's own rounds.
OpenAI's SDKs and agent frameworks keep exactly one opaque thing faithfully: the id of a call. So
the hidden messages travel in the id of the first call that is handed back, compressed and signed.
No gateway keeps state for it, and any replica with the same key can go on.

The signature covers the scope (the tenant). It is no encryption: what a tool answered can be read
by the client it was answered for. Approvals are stricter: see `Approval`.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import zlib
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from msgspec import Raw

from penstock.ground.clock import Clock
from penstock.ground.errors import RequestError

MARK = "pstk1."
"""How the ids begin that carry a continuation, or belong to an answer with one."""
MARK_BYTES = MARK.encode()

_MAC_BYTES = 20
_MIN_KEY_BYTES = 16


class Pending(msgspec.Struct, frozen=True):
    """A call that waits for approval, as the model wrote it."""

    id: str
    name: str
    arguments: str


class Approval(msgspec.Struct, frozen=True):
    """Calls that wait, and what an answer to them must meet.

    Only the `holder` (the API key) that was asked may answer, until `expires_s` (Unix time), once:
    `nonce` is spent by the first answer, at the ledger whose `epoch` this is.
    """

    calls: tuple[Pending, ...]
    nonce: str
    epoch: str
    holder: str
    expires_s: int


class Hidden(msgspec.Struct, frozen=True, omit_defaults=True):
    """The messages of a turn from its first hidden round to its last, and what still waits.

    `settled` holds results of calls that an earlier answer had asked approval for, by
    `nonce.call_id`.
    """

    messages: list[Raw]
    approval: Approval | None = None
    settled: dict[str, str] = {}


class Ledger(Protocol):
    """Remembers which approvals were answered."""

    @property
    def epoch(self) -> str:
        """Changes when the memory is lost: approvals asked for before are refused then."""

    async def spend(self, nonce: str, expires_s: int) -> bool:
        """Mark `nonce` as used; false if it was.

        Raises:
            PenstockError: that cannot be told, so nothing may be run.
        """


class MemoryLedger:
    """A ledger for a gateway without a database; another replica refuses what this one asked."""

    def __init__(self, wall: Clock, most: int = 100_000) -> None:
        """`most` bounds the memory; beyond it approvals are refused until old ones expire."""
        self._wall, self._most = wall, most
        self._spent: dict[str, int] = {}
        self._epoch = secrets.token_hex(8)

    @property
    def epoch(self) -> str:
        """Random for each process."""
        return self._epoch

    async def spend(self, nonce: str, expires_s: int) -> bool:
        """Mark `nonce` as used; see `Ledger.spend`."""
        if nonce in self._spent:
            return False
        if len(self._spent) >= self._most:
            now_s = self._wall()
            self._spent = {key: until for key, until in self._spent.items() if until >= now_s}
            if len(self._spent) >= self._most:
                return False
        self._spent[nonce] = expires_s
        return True


@dataclass(frozen=True, slots=True)
class Continuations:
    """Signs and opens continuations.

    `scope` is whose they are: opened under another one they are refused. `holder` is who may
    answer approvals within it. `approval_s` is how long an answer is waited for.
    """

    key: bytes = field(repr=False)
    scope: str
    holder: str
    ledger: Ledger
    wall: Clock
    approval_s: float = 900.0

    def __post_init__(self) -> None:
        if len(self.key) < _MIN_KEY_BYTES:
            raise ValueError(f"a key of {_MIN_KEY_BYTES} bytes is the least")

    def approval(self, calls: tuple[Pending, ...]) -> Approval:
        """Return a fresh approval for `calls`."""
        return Approval(
            calls=calls,
            nonce=secrets.token_hex(16),
            epoch=self.ledger.epoch,
            holder=self.holder,
            expires_s=int(self.wall() + self.approval_s),
        )

    def seal(self, hidden: Hidden) -> str:
        """Return `hidden` as text that may stand in an id."""
        packed = zlib.compress(msgspec.json.encode(hidden), level=6)
        return base64.urlsafe_b64encode(self._mac(packed) + packed).decode().rstrip("=")

    def open(self, token: str) -> Hidden:
        """Return what `seal` was given.

        Raises:
            RequestError: it was changed, cut, made elsewhere or for someone else.
        """
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError) as error:
            raise _unreadable() from error
        mac, packed = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(packed)):
            raise _unreadable()
        return msgspec.json.decode(zlib.decompress(packed), type=Hidden)

    async def redeem(self, approval: Approval) -> None:
        """Take the one right to answer `approval`.

        Raises:
            RequestError: it has expired, was answered before, or was asked of another key or by
                a gateway that has since forgotten.
        """
        if not hmac.compare_digest(approval.holder, self.holder):
            raise _refused("another API key was asked", "approval_not_yours")
        if self.wall() > approval.expires_s:
            raise _refused("it has expired", "approval_expired")
        if approval.epoch != self.ledger.epoch:
            raise _refused("the gateway that asked has restarted", "approval_expired")
        if not await self.ledger.spend(approval.nonce, approval.expires_s):
            raise _refused("it was answered before", "approval_used")

    def _mac(self, packed: bytes) -> bytes:
        signed = hmac.new(self.key, b"penstock continuation\0", hashlib.sha256)
        scope = self.scope.encode()
        signed.update(len(scope).to_bytes(4, "big") + scope + packed)
        return signed.digest()[:_MAC_BYTES]


def sealed_id(call_id: str, token: str = "") -> str:
    """Return the id under which the client gets a call; without a token it only belongs to one."""
    return f"{MARK}{call_id}.{token}"


def split_id(shown: str) -> tuple[str, str]:
    """Return the call's own id and its token; an id that is not ours comes back as it is."""
    if not shown.startswith(MARK):
        return shown, ""
    call_id, _, token = shown.removeprefix(MARK).rpartition(".")
    return call_id, token


def _unreadable() -> RequestError:
    return RequestError(
        "the id of a tool call in `messages` cannot be read",
        why="it was changed, or made by another gateway or for another tenant",
        fix="Send calls back as they came, or leave that part of the conversation out.",
        param="messages",
        code="invalid_continuation",
    )


def _refused(why: str, code: str) -> RequestError:
    return RequestError(
        "this approval is not accepted",
        why=why,
        fix="Ask again: nothing was run.",
        param="messages",
        code=code,
    )
