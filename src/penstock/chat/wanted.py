"""The answer that a request's `response_format` asks for: read, judged, and asked for again.

An engine may guide its decoding by the same field; that narrows what it can write and proves
nothing, because engines that do not know the field ignore it. So the answer is judged here.
"""

import msgspec
from msgspec import Raw

from penstock.chat.schemas import Schema, SchemaError
from penstock.ground.errors import RequestError

FIELD = "response_format"
_MOST_SHOWN = 8192
"""Characters of a schema that the model is shown when it must answer again."""


class _JsonSchema(msgspec.Struct):
    schema: dict[str, object] | None = None


class _Format(msgspec.Struct):
    type: str = ""
    json_schema: _JsonSchema | None = None


class _Type(msgspec.Struct):
    type: object = None


_type = msgspec.json.Decoder(_Type)


def is_judged(response_format: Raw) -> bool:
    """Whether this is a `response_format` whose answers can be judged."""
    try:
        return _type.decode(response_format).type in ("json_object", "json_schema")
    except msgspec.DecodeError:
        return False  # null, or the engine's to refuse


def refuse_format(response_format: Raw, model: str) -> None:
    """Refuse a request for an answer in a form that the engines of `model` do not know.

    Raises:
        RequestError: it asks for more than text.
    """
    try:
        if _type.decode(response_format).type == "text":
            return
    except msgspec.DecodeError:
        if response_format == Raw(b"null"):
            return
    raise RequestError(
        f"`{FIELD}` is not supported by {model}",
        why="the engine that serves it cannot be held to a form",
        fix="Ask for JSON in the prompt, or serve the model with vLLM (`engine.kind: vllm`).",
        param=FIELD,
        code="unsupported_parameter",
    )


class Wanted:
    """What an answer must be: a JSON object, or a JSON document that fits a schema."""

    def __init__(self, schema: dict[str, object] | None) -> None:
        """Without a `schema` any JSON object will do.

        Raises:
            SchemaError: the schema cannot be used.
        """
        self._told = schema
        self._schema = Schema({"type": "object"} if schema is None else schema)

    def problems(self, text: str) -> str:
        """Say why `text` is not what is wanted; empty if it is."""
        try:
            document = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return f"it is not JSON: {error}"
        return self._schema.problems(document)

    def correction(self, text: str, problems: str) -> list[Raw]:
        """Return the messages that show the model its answer and ask for another one."""
        asked = f"Your answer is not what was asked for: {problems}."
        if self._told is None:
            asked += " Answer again with a JSON object and nothing else."
        else:
            schema = msgspec.json.encode(self._told).decode()[:_MOST_SHOWN]
            asked += f" Answer again with a JSON document that fits this schema: {schema}"
        answered = {"role": "assistant", "content": text or "(no answer)"}
        return [
            Raw(msgspec.json.encode(m)) for m in (answered, {"role": "user", "content": asked})
        ]


def read_wanted(response_format: Raw) -> Wanted:
    """Read a `response_format` that is judged.

    Raises:
        RequestError: it has no schema, or one that cannot be used; it says where.
    """
    try:
        told = msgspec.json.decode(response_format, type=_Format)
        if told.type == "json_object":
            return Wanted(None)
        if told.json_schema is None or told.json_schema.schema is None:
            raise _refused("there is none", "")
        return Wanted(told.json_schema.schema)
    except msgspec.DecodeError as error:
        raise _refused(str(error), "") from error
    except SchemaError as error:
        raise _refused(str(error), error.pointer) from error


def _refused(why: str, pointer: str) -> RequestError:
    return RequestError(
        f"the schema in `{FIELD}` cannot be used",
        why=f"{why} (at {pointer})" if pointer else why,
        param=f"{FIELD}.json_schema.schema",
        code="invalid_schema",
    )
