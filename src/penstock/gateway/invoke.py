"""`POST /invoke`: one prompt in, one text out, as simple endpoints have it."""

import asyncio
from typing import NamedTuple

import msgspec

from penstock.gateway.admission import Admission
from penstock.gateway.caller import Caller
from penstock.gateway.charges import Charge, Charges
from penstock.gateway.demand import bounded, demand_of
from penstock.gateway.fields import read_chat
from penstock.gateway.passage import NOTHING
from penstock.gateway.refusals import reason_of
from penstock.gateway.spans import About, Headers
from penstock.gateway.trip import Trip
from penstock.gateway.turns import Turns
from penstock.gateway.waiting import open_patiently, patiently
from penstock.gateway.ways import Ways
from penstock.ground.errors import PenstockError, RequestError, StoreUnavailable

PATH = b"/invoke"


class InvokeParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the text is made; names as in Hugging Face's text generation."""

    max_new_tokens: int = 256
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    stop: list[str] | None = None
    seed: int | None = None
    do_sample: bool | None = None


class InvokeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /invoke`; `model` may be left out where there is one."""

    prompt: str
    parameters: InvokeParameters = InvokeParameters()
    model: str | None = None


class Invoked(NamedTuple):
    """The answer, and how it was routed, for the header `x-penstock-route`."""

    answer: dict[str, object]
    route: str


class Invoker:
    """Answers `/invoke` by one chat turn."""

    def __init__(
        self, admission: Admission, charges: Charges, turns: Turns, ways: Ways | None = None
    ) -> None:
        self._admission, self._charges, self._turns = admission, charges, turns
        self._ways = ways

    async def invoke(
        self, caller: Caller, body: bytes, request_id: bytes, headers: Headers = ()
    ) -> "Invoked":
        """Return `generated_text`, the prompt and the parameters that were used.

        Raises:
            RequestError: the body is wrong or the model does not exist.
            LimitExceeded: a limit or a budget is reached.
            EngineError: no engine could answer.
        """
        model = ""
        try:
            await patiently(self._charges, lambda: self._admission.admit(caller))
            request = _read(body)
            model = self._model(caller, request)
            charge, trip, body = await self._open(caller, model, request, request_id)
        except PenstockError as error:
            self._charges.refused(caller, model, request_id, reason_of(error))
            raise
        except asyncio.CancelledError:
            self._charges.refused(caller, model, request_id, "", "client_gone")
            raise
        audit, witness, said = self._charges.witnessed, None, b""
        try:
            if self._charges.tracer is not None:
                about = (caller.name, model, "chat", False, charge.route.model)
                charge.trace(self._charges.tracer, About(headers, request_id, *about))
            if audit is not None:
                witness = audit.begin_alone(request_id, charge, PATH, body)
            if trip is not None:
                charge.trip = trip
                trip.board(charge, None)
            finished = await self._turns.ask(charge, body, request_id)
            said = msgspec.json.encode({"generated_text": finished.message.content})
        except (RequestError, StoreUnavailable) as error:
            charge.note(reason_of(error))
            charge.settle("refused", None, 0, 0.0)  # before the turn began
            raise
        finally:
            charge.settle("client_gone", NOTHING, 0, 0.0)  # cancelled before the turn began
            if witness is not None:
                witness.close(said)
        answer: dict[str, object] = {
            "generated_text": finished.message.content or "",
            "prompt": request.prompt,
            "parameters": _without_none(msgspec.structs.asdict(request.parameters)),
        }
        return Invoked(answer, trip.text if trip is not None else "")

    def _model(self, caller: Caller, request: InvokeRequest) -> str:
        """Return the model that is asked for, or the caller's first."""
        if request.model is not None:
            return request.model
        models = self._admission.models_of(caller)
        if not models:
            raise self._admission.no_such_model(caller, "")
        return models[0].name

    async def _open(
        self, caller: Caller, model: str, request: InvokeRequest, request_id: bytes
    ) -> tuple[Charge, Trip | None, bytes]:
        """Open the account; returns it, the way to go, and the body of the chat request."""
        route = await patiently(self._charges, lambda: self._admission.resolve(caller, model))
        body = _chat_body(request, route.model)
        chat = read_chat(body)
        body = bounded(caller, chat, body)
        trip = None
        if route.routed and (ways := self._ways) is not None:
            trip = await patiently(self._charges, lambda: ways.start(caller, model, chat))
            route = trip.route
        demand = demand_of(chat, body, route.context)
        charge = await open_patiently(self._charges, caller, route, (request_id, PATH), demand)
        return charge, trip, body


def _read(body: bytes) -> InvokeRequest:
    try:
        return msgspec.json.decode(body, type=InvokeRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("the body is wrong", why=str(error), code="invalid_body") from None


def _chat_body(request: InvokeRequest, model: str) -> bytes:
    given = request.parameters
    greedy = given.do_sample is False
    fields: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": request.prompt}],
        "max_tokens": given.max_new_tokens,
        "temperature": 0.0 if greedy else given.temperature,
        "top_p": None if greedy else given.top_p,
        "top_k": None if greedy else given.top_k,
        "repetition_penalty": given.repetition_penalty,
        "stop": given.stop,
        "seed": given.seed,
    }
    return msgspec.json.encode(_without_none(fields))


def _without_none(fields: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value is not None}
