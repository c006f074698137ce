"""The HTTP routes, as a plain ASGI application: vLLM's dialect over one engine.

Every route returns a `Reply`, except the two that generate: they write to the client as tokens
come. When a client leaves, its answers are aborted before the next step. Errors have OpenAI's
shape, `{"error": {message, type, param, code}}`, with vLLM's types.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any

import msgspec

from penstock.engines.embedded import metrics
from penstock.engines.embedded.answers import Answer, ChatAnswer, Choice, CompletionAnswer, encode
from penstock.engines.embedded.engine import Engine
from penstock.engines.embedded.intake import Intake
from penstock.engines.embedded.mailbox import ClientGone, Mailbox
from penstock.engines.embedded.protocol import (
    Chat,
    Completion,
    Generation,
    LoadAdapter,
    Refused,
    Tokenize,
    UnloadAdapter,
    parse,
)
from penstock.engines.embedded.roster import Roster
from penstock.engines.embedded.sequence import Delta, Finish, Order
from penstock.ground.errors import RequestError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY_BYTES = 16 * 2**20
ADAPTER_HEADER = b"x-amzn-sagemaker-adapter-identifier"
EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
]


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP response."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the routes see it."""

    body: bytes
    headers: dict[bytes, bytes]
    receive: Receive
    send: Send


Route = Callable[[Call], Awaitable[Reply | None]]


class Server:
    """The ASGI application."""

    def __init__(self, engine: Engine, intake: Intake, roster: Roster) -> None:
        self._engine, self._intake, self._roster = engine, intake, roster
        self._routes: dict[str, dict[str, Route]] = {
            "/v1/chat/completions": {"POST": self._chat},
            "/v1/completions": {"POST": self._complete},
            "/invocations": {"POST": self._invoke},
            "/health": {"GET": self._healthy},
            "/ping": {"GET": self._healthy, "POST": self._healthy},
            "/v1/models": {"GET": self._models},
            "/tokenize": {"POST": self._tokenize},
            "/metrics": {"GET": self._metrics},
            "/version": {"GET": self._version},
        }
        if roster.max_adapters:
            self._routes["/v1/load_lora_adapter"] = {"POST": self._load}
            self._routes["/v1/unload_lora_adapter"] = {"POST": self._unload}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            route = self._find(scope)
            call = Call(await _read_body(receive), dict(scope["headers"]), receive, send)
            reply = await route(call)
        except ClientGone:
            return
        except RequestError as error:
            reply = _error_reply(error)
        if reply is not None:
            headers = [
                (b"content-type", reply.content_type.encode()),
                (b"content-length", str(len(reply.body)).encode()),
            ]
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body})

    def _find(self, scope: Scope) -> Route:
        methods = self._routes.get(scope["path"])
        if methods is None:
            raise Refused(f"there is no {scope['path']}", status=404, kind="NotFoundError")
        if scope["method"] not in methods:
            raise Refused(
                f"{scope['path']} takes {' or '.join(methods)}",
                status=405,
                kind="MethodNotAllowedError",
            )
        return methods[scope["method"]]

    async def _chat(self, call: Call) -> Reply | None:
        return await self._answer_chat(parse(call.body, Chat), call)

    async def _complete(self, call: Call) -> Reply | None:
        return await self._answer_completion(parse(call.body, Completion), call)

    async def _invoke(self, call: Call) -> Reply | None:
        """SageMaker's route: a chat or a completion, by its body; a header may name an adapter."""
        fields = parse(call.body, dict[str, msgspec.Raw])
        adapter = call.headers.get(ADAPTER_HEADER, b"").decode("latin-1") or None
        if "messages" in fields:
            chat = parse(call.body, Chat)
            return await self._answer_chat(
                msgspec.structs.replace(chat, model=adapter or chat.model), call
            )
        completion = parse(call.body, Completion)
        return await self._answer_completion(
            msgspec.structs.replace(completion, model=adapter or completion.model), call
        )

    async def _answer_chat(self, request: Chat, call: Call) -> Reply | None:
        adapter = self._roster.find(request.model)
        orders = self._intake.chat(request, adapter)
        parse_tools = bool(request.tools) and request.tool_choice != "none"
        answer = ChatAnswer(
            request.model or self._roster.name,
            self._engine.tokenizer,
            choices=[Choice(parse_tools=parse_tools) for _ in orders],
            prompt_tokens=len(orders[0].prompt),
            options=request.stream_options,
        )
        answer.parallel = request.parallel_tool_calls is not False
        return await self._answer(request, orders, answer, call)

    async def _answer_completion(self, request: Completion, call: Call) -> Reply | None:
        adapter = self._roster.find(request.model)
        orders = self._intake.completion(request, adapter)
        answer = CompletionAnswer(
            request.model or self._roster.name,
            self._engine.tokenizer,
            choices=[Choice() for _ in orders],
            prompt_tokens=sum(len(order.prompt) for order in orders[:: request.n or 1]),
            options=request.stream_options,
        )
        return await self._answer(request, orders, answer, call)

    async def _answer(
        self, request: Generation, orders: list[Order], answer: Answer, call: Call
    ) -> Reply | None:
        """Have the orders computed; write the answer as it comes, or return it whole."""
        mailbox = Mailbox()
        watcher = asyncio.create_task(_watch(call.receive, mailbox))
        sequences = [
            self._engine.submit(order, partial(mailbox.put, index))
            for index, order in enumerate(orders)
        ]
        try:
            if request.stream:
                await _stream(answer, mailbox, call.send)
                return None
            return await _collect(answer, mailbox)
        finally:
            watcher.cancel()
            for sequence, choice in zip(sequences, answer.choices, strict=True):
                if choice.end is None:
                    self._engine.abort(sequence)

    async def _healthy(self, call: Call) -> Reply:
        return Reply()

    async def _models(self, call: Call) -> Reply:
        return Reply(encode({"object": "list", "data": self._roster.cards()}))

    async def _tokenize(self, call: Call) -> Reply:
        request = parse(call.body, Tokenize)
        tokens = self._intake.tokens(request)
        names = [self._engine.tokenizer.name(token) for token in tokens]
        return Reply(
            encode(
                {
                    "count": len(tokens),
                    "max_model_len": self._intake.context,
                    "tokens": tokens,
                    "token_strs": names if request.return_token_strs else None,
                }
            )
        )

    async def _metrics(self, call: Call) -> Reply:
        state = self._engine.state(self._roster.max_adapters)
        body = metrics.expose(self._engine.tally, state, self._roster.name)
        return Reply(body, content_type=metrics.CONTENT_TYPE)

    async def _version(self, call: Call) -> Reply:
        return Reply(encode({"version": metadata.version("penstock")}))

    async def _load(self, call: Call) -> Reply:
        request = parse(call.body, LoadAdapter)
        return Reply(self._roster.load(request).encode(), content_type="text/plain")

    async def _unload(self, call: Call) -> Reply:
        request = parse(call.body, UnloadAdapter)
        return Reply(self._roster.unload(request.lora_name).encode(), content_type="text/plain")


async def _stream(answer: Answer, mailbox: Mailbox, send: Send) -> None:
    """Write events; the status is sent with the first of them, when the engine has answered."""
    deltas = await mailbox.take()
    if _failed(deltas):
        raise _stopped()
    await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
    events, over = answer.opening(), False
    while not over:
        events += b"".join(answer.event(index, delta) for index, delta in deltas)
        over = all(choice.end for choice in answer.choices)
        if _failed(deltas):
            events += b"data: %b\n\n" % _error_body(_stopped())
            over = True
        elif over:
            events += answer.closing()
        if events:
            await send({"type": "http.response.body", "body": events, "more_body": not over})
        events = b""
        deltas = [] if over else await mailbox.take()


def _failed(deltas: list[tuple[int, Delta]]) -> bool:
    return any(delta.finish is Finish.ERROR for _, delta in deltas)


async def _collect(answer: Answer, mailbox: Mailbox) -> Reply:
    while not all(choice.end for choice in answer.choices):
        deltas = await mailbox.take()
        if _failed(deltas):
            raise _stopped()
        for index, delta in deltas:
            answer.choices[index].take(delta)
    return Reply(answer.whole())


async def _read_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise Refused(
                f"the body is larger than {MAX_BODY_BYTES} bytes",
                status=413,
                kind="RequestEntityTooLargeError",
            )
    return body


async def _watch(receive: Receive, mailbox: Mailbox) -> None:
    """Close the mailbox when the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
    mailbox.close()


def _stopped() -> Refused:
    return Refused(
        "the engine stopped before the answer was finished", status=503, kind="InternalServerError"
    )


def _error_reply(error: RequestError) -> Reply:
    return Reply(_error_body(error), error.status if isinstance(error, Refused) else 400)


def _error_body(error: RequestError) -> bytes:
    status, kind = 400, "BadRequestError"
    if isinstance(error, Refused):
        status, kind = error.status, error.kind
    fields = {"message": str(error), "type": kind, "param": error.param or None, "code": status}
    return encode({"error": fields})
