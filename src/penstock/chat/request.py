"""The request of a turn: what the loop must read, and the rest as opaque bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec import Raw

from penstock.chat.wanted import FIELD, Wanted, is_judged, read_wanted
from penstock.ground.errors import RequestError

_fields = msgspec.json.Decoder(dict[str, Raw])
_STREAMED = Raw(b"true")
_WITH_USAGE = Raw(b'{"include_usage":true}')
_NULL, _NOTHING = Raw(b"null"), Raw(b"[]")
_NOT_WITH_TOOLS = {
    "functions": "it was replaced by `tools`",
    "function_call": "it was replaced by `tool_choice`",
}


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class _Head(msgspec.Struct):
    messages: list[Raw] = []
    n: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[Raw] | None = None


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


class _ClientTool(msgspec.Struct, frozen=True):
    function: _Named = _Named()
    custom: _Named = _Named()


_head = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class Traits:
    """What a turn must know of its model.

    `tools_format` is one of `parsers.form.FORMS` where the engine leaves calls in its text;
    `verifies` says that answers are judged by the request's `response_format`, `takes_formats`
    that its engines know that field at all.
    """

    tools_format: str | None = None
    verifies: bool = False
    takes_formats: bool = True


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A chat request; `client_tools` are the client's own, by name, as it defined them.

    The client is told of the answer as it comes if it `streams`.
    `fields` holds every other field of the body untouched. `tools_allowed` is false if
    the client said `tool_choice: none`. `wanted` judges the answer.
    """

    messages: tuple[Raw, ...]
    fields: Mapping[str, Raw]
    streams: bool = True
    wants_usage: bool = False
    tools_allowed: bool = True
    client_tools: Mapping[str, Raw] = field(default_factory=dict)
    traits: Traits = field(default_factory=Traits)
    wanted: Wanted | None = None

    def engine_body(self, added: Sequence[Raw], tools: Raw | None, *, first: bool) -> bytes:
        """Return the JSON that asks the engine, with the messages of earlier rounds added.

        Without `tools` nothing in it speaks of tools. A `tool_choice` that forces a call holds
        for the first round only: kept, it would never let the model answer. A `response_format`
        that is judged here goes only where no tools are offered: engines that guide their decoding
        by it could not call any.
        """
        body: dict[str, object] = dict(self.fields)
        body["messages"] = [*self.messages, *added]
        body["stream"] = _STREAMED
        body["stream_options"] = _WITH_USAGE
        if tools is None:
            body.pop("tool_choice", None)
            body.pop("parallel_tool_calls", None)
        else:
            body["tools"] = tools
            if self.wanted is not None:
                body.pop(FIELD, None)
            if not first:
                body.pop("tool_choice", None)
        return msgspec.json.encode(body)


def read_request(body: bytes, traits: Traits | None = None) -> TurnRequest:
    """Read the JSON of a chat request.

    Raises:
        RequestError: it is no JSON object with messages, or a field does not go with tools that
            the gateway runs.
    """
    try:
        fields, head = _fields.decode(body), _head.decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(
            "the body is no chat request", why=str(error), code="invalid_type"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            "the body is no chat request", why=str(error), code="invalid_json"
        ) from error
    for name, why in _NOT_WITH_TOOLS.items():
        if fields.pop(name, _NULL) not in (_NULL, _NOTHING):
            raise _refused(name, why)
    if head.n not in (None, 1):
        raise _refused(
            "n", "only one answer can be given where the gateway runs tools or judges the answer"
        )
    options = head.stream_options or _StreamOptions()
    if options.continuous_usage_stats:
        raise _refused(
            "stream_options.continuous_usage_stats",
            "usage is known at the end only where the gateway runs tools or judges the answer",
        )
    if not head.messages:
        raise RequestError(
            "`messages` is missing or empty", param="messages", code="missing_parameter"
        )
    traits, asked = traits or Traits(), fields.get(FIELD)
    wanted = None
    if traits.verifies and asked is not None and is_judged(asked):
        wanted = read_wanted(asked)
    for name in ("messages", "n", "stream", "stream_options", "tools"):
        fields.pop(name, None)
    return TurnRequest(
        messages=tuple(head.messages),
        fields=fields,
        streams=bool(head.stream),
        wants_usage=bool(options.include_usage),
        tools_allowed=fields.get("tool_choice") != Raw(b'"none"'),
        client_tools=_by_name(head.tools or ()),
        traits=traits,
        wanted=wanted,
    )


def _by_name(tools: Sequence[Raw]) -> dict[str, Raw]:
    named: dict[str, Raw] = {}
    for raw in tools:
        try:
            tool = msgspec.json.decode(raw, type=_ClientTool)
        except msgspec.ValidationError as error:
            raise _bad_tool(str(error)) from error
        name = tool.function.name or tool.custom.name
        if not name or name in named:
            raise _bad_tool(f"two are called {name}" if name else "one has no name")
        named[name] = raw
    return named


def _bad_tool(why: str) -> RequestError:
    return RequestError("`tools` is wrong", why=why, param="tools", code="invalid_tools")


def _refused(name: str, why: str) -> RequestError:
    return RequestError(
        f"`{name}` is not supported here", why=why, param=name, code="unsupported_parameter"
    )
