"""Renders a conversation into prompt text the way transformers' `apply_chat_template` does.

The template comes with the model, so it runs in Jinja's immutable sandbox. What a template may
rely on is what transformers gives it: trimmed blocks, `break` and `continue`, a `tojson` that
neither escapes HTML nor non-ASCII, `raise_exception`, `strftime_now`, and `{% generation %}`
blocks, which only mark text and are rendered plainly here.
"""

import json
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from penstock.ground.errors import RequestError, UserError

Message = dict[str, Any]
"""One message or tool in OpenAI's form."""


class ChatTemplate:
    """A compiled chat template and the special tokens it may name."""

    def __init__(self, source: str, special_tokens: dict[str, str]) -> None:
        """Compile `source`.

        Raises:
            UserError: the template is not valid Jinja.
        """
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise UserError(
                "the model's chat template cannot be compiled",
                why=f"{error.message}, line {error.lineno}",
                fix="Check chat_template.jinja in the model folder.",
            ) from error
        self._special_tokens = special_tokens

    def render(
        self,
        messages: list[Message],
        tools: list[Message] | None = None,
        *,
        add_generation_prompt: bool = True,
        variables: dict[str, Any] | None = None,
    ) -> str:
        """Return the prompt text; `variables` are further names the template may know.

        Raises:
            RequestError: the template rejects the conversation.
        """
        try:
            own = {
                "messages": [_normalise(message) for message in messages],
                "tools": [_full_tool(tool) for tool in tools] if tools else None,
                "documents": None,
                "add_generation_prompt": add_generation_prompt,
            }
            taken = own.keys() & (variables or {}).keys()
            if taken:
                raise RequestError(
                    f"`{min(taken)}` cannot be given here", param="chat_template_kwargs"
                )
            return self._template.render({**self._special_tokens, **(variables or {}), **own})
        except _RENDERING as error:
            raise RequestError(
                "the model's chat template rejects the conversation",
                why=str(error),
                param="messages",
            ) from error


_RENDERING = (jinja2.TemplateError, TypeError, ValueError, OverflowError, RecursionError)
"""What a template can raise on a conversation it was not written for."""


class _Generation(Extension):
    """`{% generation %}...{% endgeneration %}`: renders what stands inside."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own protocol

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the statements of the block."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _normalise(message: Message) -> Message:
    """Give templates what they expect: text as one string, call arguments as objects."""
    normal = {**message, "content": _text(message.get("content"))}
    calls = normal.pop("tool_calls", None)
    if calls:
        normal["tool_calls"] = [_parsed_call(call) for call in calls]
    return normal


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise RequestError("a message's content must be text or a list of parts", param="messages")
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in {"text", "refusal"} or not isinstance(part.get(kind), str):
            raise RequestError(
                f"a content part of type {kind!r} cannot be read",
                why="this engine reads text only",
                param="messages",
            )
        texts.append(part[kind])
    return "\n".join(texts)


def _parsed_call(call: Any) -> Message:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or call.get("type", "function") != "function":
        raise RequestError("a tool call must be of type function", param="messages")
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = {}  # a broken call in the history must not end the conversation
    return {**call, "function": {**function, "arguments": arguments}}


def _full_tool(tool: Message) -> Message:
    """Order a tool's fields as vLLM does, so that both engines render the same prompt."""
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RequestError("a tool must be a function with a name", param="tools")
    ordered = {key: function.get(key) for key in ("name", "description", "parameters")}
    if function.get("strict") is not None:
        ordered["strict"] = function["strict"]
    return {"type": "function", "function": ordered}
