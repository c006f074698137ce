"""The bodies that clients send, and what is refused.

A field that is not listed here is refused by name: an answer that silently lacks what was asked
for is worse than an error. Fields that only label a request (`user`, `metadata`) are taken and
change nothing; a field that is not supported is taken when its value asks for nothing.
"""

import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from penstock.engines.embedded.template import Message
from penstock.ground.errors import RequestError

Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
Penalty = Annotated[float, Meta(ge=-2.0, le=2.0)]
Count = Annotated[int, Meta(ge=0)]
AtLeastOne = Annotated[int, Meta(ge=1)]


class Refused(RequestError):
    """A request that is answered with an error; `status` and `kind` are vLLM's for the case."""

    def __init__(
        self, what: str, *, status: int = 400, kind: str = "BadRequestError", param: str = ""
    ) -> None:
        super().__init__(what, param=param)
        self.status, self.kind = status, kind


class StreamOptions(Struct, forbid_unknown_fields=True, frozen=True):
    """Which usage chunks a stream carries."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class Unsupported(Struct, frozen=True, kw_only=True):
    """Fields this engine cannot honour; see `NEUTRAL` for the values that are taken."""

    echo: Any = None
    prompt_logprobs: Any = None
    response_format: Any = None
    structured_outputs: Any = None
    guided_json: Any = None
    guided_regex: Any = None
    guided_choice: Any = None
    guided_grammar: Any = None
    use_beam_search: Any = None
    best_of: Any = None
    length_penalty: Any = None
    allowed_token_ids: Any = None
    bad_words: Any = None
    truncate_prompt_tokens: Any = None
    priority: Any = None
    spaces_between_special_tokens: Any = None
    return_token_ids: Any = None
    return_tokens_as_token_ids: Any = None
    suffix: Any = None
    functions: Any = None
    function_call: Any = None
    modalities: Any = None
    audio: Any = None
    prediction: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    web_search_options: Any = None
    documents: Any = None
    continue_final_message: Any = None
    logprob_token_ids: Any = None
    vllm_xargs: Any = None


NEUTRAL: dict[str, tuple[Any, ...]] = {
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "function_call": (None, "none"),
    "best_of": (None, 1),
    "length_penalty": (None, 1.0),
    "spaces_between_special_tokens": (None, True),
    "priority": (None, 0),
}
NOTHING: tuple[Any, ...] = (None, False, [], {}, "")
"""Values that ask for nothing, of single fields and of all others that are not supported."""


class Generation(Unsupported, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What chat and plain completions have in common; none means the model's own default."""

    model: str | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = 1
    max_tokens: AtLeastOne | None = None
    min_tokens: Count = 0
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    skip_special_tokens: bool = True
    temperature: Annotated[float, Meta(ge=0.0)] | None = None
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    top_k: Annotated[int, Meta(ge=-1)] | None = None
    min_p: Unit | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(gt=0.0)] | None = None
    logit_bias: dict[int, Annotated[float, Meta(ge=-100.0, le=100.0)]] | None = None

    # Labels: they describe the request and cannot change the answer.
    user: str | None = None
    metadata: Any = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    cache_salt: str | None = None
    request_id: str | None = None
    session_id: str | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(stop)


class Chat(Generation, frozen=True, kw_only=True):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: AtLeastOne | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Message] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    add_generation_prompt: bool = True
    add_special_tokens: bool = False
    chat_template_kwargs: dict[str, Any] | None = None

    @property
    def limit(self) -> int | None:
        """The most tokens the answer may have."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def alternatives(self) -> int | None:
        """How many likely tokens to report with each; none for no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None


class Completion(Generation, frozen=True, kw_only=True):
    """`POST /v1/completions`."""

    prompt: str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    add_special_tokens: bool = True

    @property
    def limit(self) -> int | None:
        """The most tokens each answer may have; OpenAI's default is 16."""
        return self.max_tokens or 16

    @property
    def alternatives(self) -> int | None:
        """How many likely tokens to report with each; none for no log-probabilities."""
        return self.logprobs


class Tokenize(Struct, forbid_unknown_fields=True, frozen=True):
    """`POST /tokenize`: a prompt, or a conversation."""

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None
    tools: list[Message] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool = True
    return_token_strs: bool = False


class LoadAdapter(Struct, frozen=True):
    """`POST /v1/load_lora_adapter`."""

    lora_name: str = ""
    lora_path: str = ""
    load_inplace: bool = False


class UnloadAdapter(Struct, frozen=True):
    """`POST /v1/unload_lora_adapter`."""

    lora_name: str = ""


Body = TypeVar("Body")


def parse(body: bytes, form: type[Body]) -> Body:
    """Read a request body.

    Raises:
        Refused: it is not JSON, or a field is unknown, wrong or not supported.
    """
    try:
        request = msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:
        field = _named_field(str(error))
        unknown = f"`{field}` is not a field that the embedded engine supports"
        text = unknown if "unknown field" in str(error) else f"the request is wrong: {error}"
        raise Refused(text, param=field) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(f"the body is not JSON: {error}") from error
    if isinstance(request, Generation):
        _refuse_unsupported(request)
    return request


def _refuse_unsupported(request: Generation) -> None:
    for name in Unsupported.__struct_fields__:
        if getattr(request, name) not in NEUTRAL.get(name, NOTHING):
            raise Refused(f"`{name}` is not supported by the embedded engine", param=name)
    if request.stream_options and not request.stream:
        raise Refused(
            "`stream_options` can only be given when streaming is on", param="stream_options"
        )
    if any(not stop for stop in request.stops):
        raise Refused("a stop string cannot be empty", param="stop")
    if isinstance(request, Chat):
        _check_tools(request)
        if request.top_logprobs and not request.logprobs:
            raise Refused("`top_logprobs` needs `logprobs`", param="top_logprobs")


def _check_tools(request: Chat) -> None:
    choice = request.tool_choice
    if choice in (None, "none"):
        return
    if not request.tools:
        raise Refused("`tool_choice` is only allowed when `tools` are given", param="tool_choice")
    if choice != "auto":
        raise Refused(
            f"`tool_choice` {choice if isinstance(choice, str) else 'of one function'} is not "
            "supported by the embedded engine, which cannot force a call; use auto or none",
            param="tool_choice",
        )


def _named_field(message: str) -> str:
    """Return the field that a msgspec message is about, as in `Object ... field `x`` or `$.x`."""
    match = re.search(r"field `([^`]+)`|`\$\.([^`.\[]+)", message)
    return (match[1] or match[2]) if match else ""
