"""`/v1/files`: what batches read and write, each tenant's own."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from starlette.concurrency import iterate_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from penstock.gateway.batching.doors import Action, id_in, not_there
from penstock.gateway.batching.shown import file_shown, life_in, page_in, page_shown
from penstock.gateway.batching.threads import Threads
from penstock.gateway.caller import Caller
from penstock.gateway.replies import json_reply
from penstock.gateway.settings import BatchSettings
from penstock.ground.clock import Clock
from penstock.ground.errors import LimitExceeded, RequestError, StoreUnavailable
from penstock.registry.batches.contents import Contents
from penstock.registry.batches.records import PURPOSE, FileRecord, new_file_id
from penstock.registry.stores.files import FileStore

_MOST_FIELDS, _MOST_FIELD_BYTES, _MOST_NAME = 8, 4096, 255
_AT_A_TIME, _COME_BACK_S = 8, 2.0
_LIFE = ("expires_after[anchor]", "expires_after[seconds]")


@dataclass(frozen=True, slots=True)
class FileRoutes:
    """The routes, and what they need."""

    told: BatchSettings
    store: FileStore
    contents: Contents
    threads: Threads
    wall: Clock
    uploading: Counter[str] = field(default_factory=Counter)
    """Uploads under way, by tenant."""

    def actions(self) -> dict[tuple[str, str], Action]:
        """Return what is done, by method and path."""
        return {
            ("GET", "/v1/files"): self.list_files,
            ("POST", "/v1/files"): self.upload,
            ("GET", "/v1/files/{id}"): self.show,
            ("DELETE", "/v1/files/{id}"): self.delete,
            ("GET", "/v1/files/{id}/content"): self.content,
        }

    async def list_files(self, request: Request, caller: Caller) -> Response:
        """The tenant's files, newest first."""
        asked = dict(request.query_params)
        page = page_in(asked, ("purpose",))
        rows = await self.store.page(caller.name, asked.get("purpose"), page, self.wall())
        return json_reply(page_shown(rows, page, file_shown))

    async def show(self, request: Request, caller: Caller) -> Response:
        """One file."""
        return json_reply(file_shown(await self._find(request, caller)))

    async def content(self, request: Request, caller: Caller) -> Response:
        """What is in a file."""
        record = await self._find(request, caller)
        pieces = self.contents.read(f"files/{record.id}")
        first = await self.threads.do(next, pieces, b"")  # what fails does so before the status
        headers = {
            "content-length": str(record.size_bytes),
            "x-content-type-options": "nosniff",
        }
        return _Pieces(
            iterate_in_threadpool(_chained(first, pieces)),
            headers=headers,
            media_type="application/octet-stream",
        )

    async def delete(self, request: Request, caller: Caller) -> Response:
        """Forget a file."""
        record = await self._find(request, caller)
        if not await self.store.claim(record.id):
            raise RequestError(
                "a batch still reads this file", fix="Cancel it first.", code="file_in_use"
            )
        await self.threads.do(self.contents.remove, f"files/{record.id}")
        await self.store.forget(record.id)
        return json_reply({"id": record.id, "object": "file", "deleted": True})

    async def _find(self, request: Request, caller: Caller) -> FileRecord:
        file_id = id_in(request)
        record = await self.store.find(caller.name, file_id)
        if record is None or record.expires_s < self.wall():
            raise not_there(file_id)
        return record

    async def upload(self, request: Request, caller: Caller) -> Response:
        """Keep a file; what comes goes to the disk, whatever its size."""
        try:
            form_of = request.form(
                max_files=1, max_fields=_MOST_FIELDS, max_part_size=_MOST_FIELD_BYTES
            )
            async with self._turn(caller), form_of as form:
                fields = dict(form.multi_items())
                file = fields.pop("file", None)
                if not isinstance(file, UploadFile):
                    raise RequestError(
                        "`file` is missing",
                        fix="Send it as multipart/form-data, with a file name.",
                        param="file",
                        code="missing_parameter",
                    )
                told = {name: str(value) for name, value in fields.items()}
                return json_reply(file_shown(await self._keep(file, told, caller)))
        except (HTTPException, UnicodeError) as error:
            why = error.detail if isinstance(error, HTTPException) else "its charset is none"
            raise RequestError("the form cannot be read", why=why, code="invalid_form") from None

    @asynccontextmanager
    async def _turn(self, caller: Caller) -> AsyncIterator[None]:
        """Let a tenant upload only a few files at a time: nobody's quota counts them yet."""
        if self.uploading[caller.name] >= _AT_A_TIME:
            why = f"a tenant may upload {_AT_A_TIME} at a time"
            raise LimitExceeded("too many uploads", why=why, retry_after_s=_COME_BACK_S)
        self.uploading[caller.name] += 1
        try:
            yield
        finally:
            self.uploading[caller.name] -= 1

    async def _keep(self, file: UploadFile, told: dict[str, str], caller: Caller) -> FileRecord:
        life_s = self._read_fields(told)
        size, name = file.size or 0, file.filename or ""
        if not size:
            raise RequestError("the file is empty", param="file", code="invalid_value")
        if not name.isprintable():
            why = "it has characters in it that cannot be seen"
            raise RequestError("`filename` is wrong", why=why, param="file", code="invalid_value")
        now_s = self.wall()
        record = FileRecord(
            new_file_id(),
            caller.name,
            name[:_MOST_NAME],
            PURPOSE,
            size,
            now_s,
            now_s + life_s,
            False,
        )
        await self.store.begin(record, self.told.quota_bytes)
        place = f"files/{record.id}"
        try:
            await self.threads.do(self.contents.put, place, file.file)
            await self.store.finish(record)
        except StoreUnavailable:
            with suppress(StoreUnavailable):  # else it is forgotten within an hour
                await self.store.claim(record.id)
                await self.threads.do(self.contents.remove, place)
                await self.store.forget(record.id)
            raise
        return record

    def _read_fields(self, told: dict[str, str]) -> float:
        """Return how long the file is kept, seconds."""
        for name in told:
            if name not in ("purpose", *_LIFE):
                raise RequestError(
                    f"`{name[:50]}` is not a known field",
                    param=name[:50],
                    code="unknown_parameter",
                )
        purpose = told.get("purpose")
        if purpose != PURPOSE:
            why = "missing" if purpose is None else f"{purpose[:50]!r} is not supported"
            raise RequestError(
                "`purpose` is wrong",
                why=why,
                fix=f"Files are kept for `{PURPOSE}` alone.",
                param="purpose",
                code="invalid_purpose",
            )
        if not any(name in told for name in _LIFE):
            return self.told.life_s
        anchor, seconds = (told.get(name) for name in _LIFE)
        return life_in(seconds, anchor, self.told.life_s, "expires_after")


class _Pieces(StreamingResponse):
    """Says with the last piece that it is the last.

    Said afterwards, it would come when the client has its whole answer already, and may have sent
    its next request, which would look like one of a client that pipelines.
    """

    async def stream_response(self, send: Send) -> None:
        """Send head and pieces."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        held: str | bytes | memoryview = b""
        async for piece in self.body_iterator:
            if held:
                await send({"type": "http.response.body", "body": held, "more_body": True})
            held = piece
        await send({"type": "http.response.body", "body": held, "more_body": False})


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
