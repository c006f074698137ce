"""Which request fields are known, and what is said of those that are not.

Only what the gateway acts on is decoded; every other known field stays a slice of raw bytes and
reaches the engine untouched. A field that is not listed is refused by name, never ignored.
"""

import difflib
import re
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from penstock.ground.errors import RequestError

_RawField = Raw | UnsetType

REFUSED = {
    "audio": "no engine here produces sound",
    "modalities": "only text is produced",
    "prediction": "predicted outputs are not supported",
    "web_search_options": "there is no web search; grant the tenant a tool instead",
    "store": "answers are not stored",
    "service_tier": "there is one tier",
    "functions": "it was replaced by `tools`",
    "function_call": "it was replaced by `tool_choice`",
    "verbosity": "no engine here supports it",
    "background": "use a batch",
    "suffix": "no engine here fills in the middle",
}


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """`stream_options` of OpenAI, with vLLM's addition."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None


class _Sampling(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Fields that chat and completions share; types are checked by the engine."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    user: str | None = None
    temperature: _RawField = UNSET
    top_p: _RawField = UNSET
    top_k: _RawField = UNSET
    min_p: _RawField = UNSET
    seed: _RawField = UNSET
    stop: _RawField = UNSET
    stop_token_ids: _RawField = UNSET
    logit_bias: _RawField = UNSET
    logprobs: _RawField = UNSET
    presence_penalty: _RawField = UNSET
    frequency_penalty: _RawField = UNSET
    repetition_penalty: _RawField = UNSET
    length_penalty: _RawField = UNSET
    min_tokens: _RawField = UNSET
    ignore_eos: _RawField = UNSET
    skip_special_tokens: _RawField = UNSET
    spaces_between_special_tokens: _RawField = UNSET
    include_stop_str_in_output: _RawField = UNSET
    truncate_prompt_tokens: _RawField = UNSET
    prompt_logprobs: _RawField = UNSET
    bad_words: _RawField = UNSET
    allowed_token_ids: _RawField = UNSET
    add_special_tokens: _RawField = UNSET
    response_format: _RawField = UNSET
    structured_outputs: _RawField = UNSET
    return_tokens_as_token_ids: _RawField = UNSET
    return_token_ids: _RawField = UNSET
    priority: _RawField = UNSET
    cache_salt: _RawField = UNSET

    @property
    def streams(self) -> bool:
        """Whether the client wants server-sent events."""
        return self.stream is True

    @property
    def wants_usage(self) -> bool:
        """Whether the client asked for the usage event of a stream."""
        return self.stream_options is not None and self.stream_options.include_usage is True


class ChatRequest(_Sampling, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/chat/completions`, as far as the gateway reads it."""

    messages: Raw
    max_completion_tokens: int | None = None
    tools: list[Raw] | None = None
    tool_choice: _RawField = UNSET
    parallel_tool_calls: _RawField = UNSET
    top_logprobs: _RawField = UNSET
    reasoning_effort: _RawField = UNSET
    include_reasoning: _RawField = UNSET
    chat_template: _RawField = UNSET
    chat_template_kwargs: _RawField = UNSET
    add_generation_prompt: _RawField = UNSET
    continue_final_message: _RawField = UNSET
    documents: _RawField = UNSET
    echo: _RawField = UNSET
    mm_processor_kwargs: _RawField = UNSET

    @property
    def leaves_tools_to_us(self) -> bool:
        """Whether the gateway's own tools may serve this request.

        They may where the client did not forbid tools; its own may stand beside them.
        """
        return self.tool_choice != _NONE


class CompletionRequest(_Sampling, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/completions`, as far as the gateway reads it."""

    prompt: Raw
    best_of: _RawField = UNSET
    echo: _RawField = UNSET
    use_beam_search: _RawField = UNSET


_Request = TypeVar("_Request", bound=msgspec.Struct)
_MAX_NAME = 100  # characters of a field's name that are looked at and repeated
_NONE = Raw(b'"none"')
_chat = msgspec.json.Decoder(ChatRequest)
_completion = msgspec.json.Decoder(CompletionRequest)
_UNKNOWN = re.compile(r"unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?")
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]*)`")


def read_chat(body: bytes) -> ChatRequest:
    """Read a chat request.

    Raises:
        RequestError: it is not JSON, or names the field that is wrong or not supported.
    """
    return _read(body, _chat, ChatRequest)


def read_completion(body: bytes) -> CompletionRequest:
    """Read a completion request; raises as `read_chat` does."""
    return _read(body, _completion, CompletionRequest)


def _read(body: bytes, decoder: msgspec.json.Decoder[_Request], kind: type[_Request]) -> _Request:
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look into what stays raw
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise _explain(error, kind) from None
    except UnicodeDecodeError as error:
        raise _not_text(error) from None
    except RecursionError:
        raise RequestError("the body is nested too deep", code="invalid_json") from None


def _not_text(error: UnicodeDecodeError) -> RequestError:
    return RequestError("the body is not UTF-8", why=error.reason, code="invalid_json")


def _explain(error: msgspec.DecodeError, kind: type[msgspec.Struct]) -> RequestError:
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return RequestError("the body is not valid JSON", why=text, code="invalid_json")
    if unknown := _UNKNOWN.search(text):
        name = unknown[1][:_MAX_NAME]
        param = f"{unknown[2]}.{name}" if unknown[2] else name
        if why := REFUSED.get(name):
            return RequestError(
                f"`{param}` is not supported", why=why, param=param, code="unsupported_parameter"
            )
        near = difflib.get_close_matches(name, kind.__struct_fields__, n=1)
        fix = f"Did you mean `{near[0]}`?" if near else "Leave it out."
        return RequestError(
            f"`{param}` is not a known field", fix=fix, param=param, code="unknown_parameter"
        )
    if missing := _MISSING.search(text):
        name = missing[1]
        return RequestError(
            f"`{name}` is missing", fix=f"Send `{name}`.", param=name, code="missing_parameter"
        )
    place = _PLACE.search(text)
    param = place[1] if place else ""
    why = _PLACE.sub("", text)
    what = f"`{param}` is wrong" if param else "the body is wrong"
    return RequestError(what, why=why, param=param, code="invalid_type")


_USAGE_ASKED = b'"stream_options":{"include_usage":true}}'


def ask_for_usage(body: bytes, request: ChatRequest | CompletionRequest) -> bytes:
    """Return the body of a streamed request with the usage event asked for."""
    if request.stream_options is None and b'"stream_options"' not in body:
        return body.rstrip()[:-1] + b"," + _USAGE_ASKED
    fields = msgspec.json.decode(body, type=dict[str, Raw])
    asked = request.stream_options or StreamOptions()
    options = {
        "include_usage": True,
        **({"continuous_usage_stats": True} if asked.continuous_usage_stats else {}),
    }
    fields["stream_options"] = Raw(msgspec.json.encode(options))
    return msgspec.json.encode(fields)
