"""A small client of the gateway: one answer as a whole, or piece by piece."""

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import httpx

from penstock.cli.address import Address
from penstock.ground.errors import (
    EngineDied,
    EngineRefused,
    EngineUnavailable,
    LimitExceeded,
    NotAllowed,
    PenstockError,
    RequestError,
)

_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
_VERSION_S = 5.0
_TOOL_NOTE = b": penstock.tool "


class Text(NamedTuple):
    """Some of the answer's text."""

    text: str


class ToolUse(NamedTuple):
    """The gateway runs a tool; `status` is `started` or how it ended."""

    name: str
    status: str


class Ended(NamedTuple):
    """The answer is complete."""

    finish_reason: str
    model: str
    usage: Mapping[str, int]


Piece = Text | ToolUse | Ended


class Client:
    """Talks to the gateway at one address; a context manager."""

    def __init__(self, address: Address) -> None:
        headers = dict(address.headers)
        if address.key:
            headers["authorization"] = f"Bearer {address.key}"
        self._url = address.url
        self._http = httpx.Client(
            base_url=address.url,
            headers=headers,
            timeout=_TIMEOUT,
            trust_env=not _is_loopback(address.url),  # a proxy cannot reach this machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def models(self) -> list[str]:
        """Names of the models this key may ask for.

        Raises:
            PenstockError: as for `answer`.
        """
        with self._telling():
            response = self._http.get("/v1/models")
            _refuse_errors(response)
        return [str(model["id"]) for model in _read_object(response).get("data", ())]

    def first_model(self) -> str:
        """The first model this key may ask for.

        Raises:
            PenstockError: as for `answer`; NotAllowed when there is none.
        """
        for model in self.models():
            return model
        raise NotAllowed("this key may ask for no model", fix="Name one with --model.")

    def engine_version(self) -> str:
        """What an engine at this address calls its version; empty where it does not say."""
        try:
            response = self._http.get("/version", timeout=_VERSION_S)
            told = response.json() if response.is_success else {}
        except (httpx.HTTPError, ValueError):
            return ""
        return str(told.get("version", "")) if isinstance(told, dict) else ""

    def answer(self, request: Mapping[str, object]) -> dict[str, Any]:
        """OpenAI's `chat.completion` for `request`.

        Raises:
            NotAllowed: the key is missing, wrong or lacks the right.
            LimitExceeded: a limit was reached.
            RequestError: the gateway will not have the request.
            EngineError: nothing listens, or the engine failed.
        """
        with self._telling():
            response = self._http.post("/v1/chat/completions", json=request)
            _refuse_errors(response)
        return _read_object(response)

    def stream(self, request: Mapping[str, object]) -> Generator[Piece, None, None]:
        """The pieces of the answer to `request` as they come; the last one is `Ended`.

        Closing the iterator closes the connection, upon which the gateway stops the engine.

        Raises:
            PenstockError: as for `answer`; EngineDied also when the answer breaks off.
        """
        asked = {**request, "stream": True, "stream_options": {"include_usage": True}}
        with (
            self._telling(),
            self._http.stream("POST", "/v1/chat/completions", json=asked) as response,
        ):
            if response.is_error:
                response.read()
            _refuse_errors(response)
            yield from read_pieces(response.iter_bytes())

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell the transport's failures in our terms."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise EngineUnavailable(
                f"nothing answers at {self._url}",
                why=str(error),
                fix="Start a stack with `penstock up`, or give another address with --url.",
            ) from error
        except httpx.TimeoutException as error:
            what = f"{self._url} sent nothing for {_TIMEOUT.read:.0f} s"
            raise EngineUnavailable(what, fix="`penstock status` shows how it is.") from error
        except httpx.TransportError as error:
            what = f"the connection to {self._url} broke"
            raise EngineDied(what, why=str(error), fix="`penstock logs` may say why.") from error


def read_pieces(chunks: Iterator[bytes]) -> Iterator[Piece]:
    """The pieces in a stream of server-sent events, however it is cut.

    Raises:
        EngineDied: the stream carries an error, or ends before the answer does.
    """
    reason, model = "", ""
    usage: dict[str, int] = {}
    for line in _lines(chunks):
        if line.startswith(_TOOL_NOTE):
            note = _read_event(line.removeprefix(_TOOL_NOTE))
            yield ToolUse(note["name"], note["status"])
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            break
        chunk = _read_event(data)
        if "error" in chunk:
            raise EngineDied(f"the answer broke off: {_message(chunk)}")
        model, usage = chunk.get("model") or model, chunk.get("usage") or usage
        for choice in chunk.get("choices", ())[:1]:
            reason = choice.get("finish_reason") or reason
            if text := choice.get("delta", {}).get("content"):
                yield Text(text)
    if not reason:
        raise EngineDied("the answer broke off before its end")
    yield Ended(reason, model, usage)


def _read_event(data: bytes) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise EngineDied("the answer broke off", why="an event of the stream is no JSON object")
    return event


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.rstrip(b"\r") for line in whole)
    yield rest


def _refuse_errors(response: httpx.Response) -> None:
    if response.is_success:
        return
    message, status = _error_text(response), response.status_code
    error: PenstockError
    if status == 401:
        fix = "Give the key that `penstock up` printed: --key, or PENSTOCK_API_KEY."
        error = NotAllowed(message, fix=fix)
    elif status == 403:
        error = NotAllowed(message)
    elif status == 429:
        wait_s = _seconds(response.headers.get("retry-after"))
        error = LimitExceeded(message, retry_after_s=wait_s, fix=f"Try again in {wait_s:g} s.")
    elif status == 503:
        error = EngineUnavailable(message, fix="`penstock status` shows how it is.")
    elif response.is_client_error:
        error = RequestError(message)
    else:
        error = EngineRefused(message, status=status, body=response.content)
    raise error


def _error_text(response: httpx.Response) -> str:
    try:
        return _message(response.json())
    except (ValueError, KeyError, TypeError):
        said = " ".join(response.text.split())[:200]
        return f"{response.url} answered {response.status_code} {response.reason_phrase}: {said}"


def _message(body: Mapping[str, Any]) -> str:
    return str(body["error"]["message"])


def _read_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        what = f"{response.url} does not speak OpenAI's protocol"
        raise EngineRefused(what, status=response.status_code, body=response.content)
    return body


def _seconds(header: str | None) -> float:
    return float(header) if header and header.isdigit() else 1.0


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
