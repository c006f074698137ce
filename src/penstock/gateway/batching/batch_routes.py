"""`/v1/batches`: requests that can wait, each tenant's own."""

from dataclasses import dataclass
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.gateway.admission import Admission
from penstock.gateway.batching.dispatcher import Dispatcher
from penstock.gateway.batching.doors import Action, id_in, not_there
from penstock.gateway.batching.lines import ENDPOINTS
from penstock.gateway.batching.shown import batch_shown, life_in, page_in, page_shown
from penstock.gateway.caller import Caller
from penstock.gateway.replies import json_reply, secret_in
from penstock.gateway.settings import BatchSettings
from penstock.ground.clock import Clock
from penstock.ground.errors import RequestError
from penstock.registry.batches.records import ID, BatchRecord, new_batch_id
from penstock.registry.keys import digest_of
from penstock.registry.stores.batches import BatchStore, no_file

_MOST_PAIRS, _MOST_KEY, _MOST_VALUE = 16, 64, 512


class Life(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the files that a batch makes are kept."""

    anchor: Literal["created_at"]
    seconds: int


class NewBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/batches`."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: Life | None = None


@dataclass(frozen=True, slots=True)
class BatchRoutes:
    """The routes, and what they need."""

    told: BatchSettings
    admission: Admission
    dispatcher: Dispatcher
    store: BatchStore
    wall: Clock

    def actions(self) -> dict[tuple[str, str], Action]:
        """Return what is done, by method and path."""
        return {
            ("GET", "/v1/batches"): self.list_batches,
            ("POST", "/v1/batches"): self.create,
            ("GET", "/v1/batches/{id}"): self.show,
            ("POST", "/v1/batches/{id}/cancel"): self.cancel,
        }

    async def list_batches(self, request: Request, caller: Caller) -> Response:
        """The tenant's batches, newest first."""
        page = page_in(dict(request.query_params))
        rows = await self.store.page(caller.name, page)
        return json_reply(page_shown(rows, page, batch_shown))

    async def show(self, request: Request, caller: Caller) -> Response:
        """One batch."""
        return json_reply(batch_shown(await self._find(id_in(request), caller)))

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """End a batch: what is being answered is answered, nothing else is asked."""
        batch_id = id_in(request)
        if await self.store.cancel(caller.name, batch_id, self.wall()):
            self.dispatcher.look(batch_id)
        batch = await self._find(batch_id, caller)
        if batch.status not in ("cancelling", "cancelled"):
            raise RequestError(
                f"this batch is {batch.status}: nothing is left to be cancelled",
                code="not_cancellable",
            )
        return json_reply(batch_shown(batch))

    async def _find(self, batch_id: str, caller: Caller) -> BatchRecord:
        batch = await self.store.find(caller.name, batch_id)
        if batch is None:
            raise not_there(batch_id)
        return batch

    async def create(self, request: Request, caller: Caller) -> Response:
        """Take a batch; its lines are checked before the first is asked."""
        new = _read(await request.body())
        digest = digest_of(secret_in(request) or b"").hex()
        self._check(new, digest)
        life_s, now_s = self.told.life_s, self.wall()
        if new.output_expires_after is not None:
            after = new.output_expires_after
            life_s = life_in(after.seconds, after.anchor, life_s, "output_expires_after")
        batch = BatchRecord(
            new_batch_id(),
            caller.name,
            caller.key_id,
            digest,
            new.endpoint,
            new.input_file_id,
            "validating",
            now_s,
            now_s + self.told.window_s,
            life_s,
            msgspec.json.encode(new.metadata).decode() if new.metadata else "",
        )
        await self.store.add(batch, self.told.max_active)
        self.dispatcher.look(batch.id)
        return json_reply(batch_shown(batch))

    def _check(self, new: NewBatch, digest: str) -> None:
        if new.endpoint not in ENDPOINTS:
            raise _wrong("endpoint", f"batches are for {' and '.join(ENDPOINTS)}")
        if new.completion_window != "24h":
            raise _wrong("completion_window", "it must be `24h`")
        pairs = (new.metadata or {}).items()
        if len(pairs) > _MOST_PAIRS or any(
            len(key) > _MOST_KEY or len(value) > _MOST_VALUE for key, value in pairs
        ):
            bounds = f"{_MOST_PAIRS} pairs of {_MOST_KEY} and {_MOST_VALUE} characters at most"
            raise _wrong("metadata", bounds)
        if self.admission.standing_behind(digest) is None:
            raise RequestError(
                "a batch needs an API key",
                why="it outlasts a token",
                fix="Make it with a key of this tenant.",
                code="needs_api_key",
            )
        if not ID.fullmatch(new.input_file_id):
            raise no_file(new.input_file_id)


def _wrong(name: str, why: str) -> RequestError:
    return RequestError(f"`{name}` is wrong", why=why, param=name, code="invalid_value")


def _read(body: bytes) -> NewBatch:
    try:
        return msgspec.json.decode(body, type=NewBatch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("the body is wrong", why=str(error), code="invalid_body") from None
