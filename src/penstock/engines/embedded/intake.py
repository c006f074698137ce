"""Turns a checked request into orders for the engine, one for each choice of the answer."""

from dataclasses import replace
from pathlib import Path

import msgspec

from penstock.engines.embedded.checkpoint import read_json
from penstock.engines.embedded.lora import Adapter
from penstock.engines.embedded.protocol import Chat, Completion, Generation, Refused, Tokenize
from penstock.engines.embedded.sampler import Sampling
from penstock.engines.embedded.sequence import Ending, Order
from penstock.engines.embedded.shape import Shape
from penstock.engines.embedded.tokenizer import Tokenizer
from penstock.ground.errors import UserError


class Defaults(msgspec.Struct, frozen=True):
    """What `generation_config.json` sets for requests that do not say."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int | None = None
    eos_token_id: int | list[int] | None = None

    @classmethod
    def read(cls, folder: Path) -> "Defaults":
        """Read the file, if the model has one.

        Raises:
            UserError: it cannot be used.
        """
        file = folder / "generation_config.json"
        if not file.is_file():
            return cls()
        try:
            return msgspec.convert(read_json(file), cls)
        except msgspec.ValidationError as error:
            raise UserError(
                "the model's generation defaults cannot be used", why=str(error), where=str(file)
            ) from error

    @property
    def eos(self) -> tuple[int, ...]:
        """The tokens that end an answer."""
        ids = self.eos_token_id
        return tuple(ids) if isinstance(ids, list) else () if ids is None else (ids,)


class Intake:
    """Knows the model's limits and defaults; `tools` says whether calls are parsed."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        shape: Shape,
        defaults: Defaults,
        *,
        context: int,
        tools: bool,
    ) -> None:
        self.context, self.tools = context, tools
        self._tokenizer, self._defaults = tokenizer, defaults
        self._vocabulary = shape.vocabulary
        ends = [token for token in (tokenizer.eos, *defaults.eos, *shape.eos) if token is not None]
        self._eos = ends[0] if ends else None
        self._other_ends = frozenset(ends[1:]) - {self._eos}

    def chat(self, request: Chat, adapter: Adapter | None) -> list[Order]:
        """Return the orders of a chat request.

        Raises:
            RequestError: it cannot be answered.
        """
        offered = request.tool_choice != "none" and bool(request.tools)
        if offered and not self.tools:
            raise Refused(
                "tools need a parser: start the engine with --tool-call-parser hermes",
                param="tools",
            )
        text = self._tokenizer.template(with_tools=offered).render(
            request.messages,
            request.tools if offered else None,
            add_generation_prompt=request.add_generation_prompt,
            variables=request.chat_template_kwargs,
        )
        prompt = self._tokenizer.encode(text, add_special_tokens=request.add_special_tokens)
        return self._orders(request, prompt, adapter, limit=request.limit, keep_special=offered)

    def completion(self, request: Completion, adapter: Adapter | None) -> list[Order]:
        """Return the orders of a completion request: all choices of its first prompt first.

        Raises:
            RequestError: it cannot be answered.
        """
        prompts = self._prompts(request)
        return [
            order
            for prompt in prompts
            for order in self._orders(request, prompt, adapter, limit=request.limit)
        ]

    def tokens(self, request: Tokenize) -> list[int]:
        """Return the tokens of a prompt or a conversation.

        Raises:
            RequestError: neither is given, or the template rejects it.
        """
        if request.prompt is not None:
            special = request.add_special_tokens is not False
            return self._tokenizer.encode(request.prompt, add_special_tokens=special)
        if request.messages is None:
            raise Refused("give `prompt` or `messages`", param="prompt")
        text = self._tokenizer.template(with_tools=bool(request.tools)).render(
            request.messages, request.tools, add_generation_prompt=request.add_generation_prompt
        )
        return self._tokenizer.encode(text, add_special_tokens=bool(request.add_special_tokens))

    def _prompts(self, request: Completion) -> list[list[int]]:
        given = request.prompt
        if isinstance(given, str):
            given = [given]
        if all(isinstance(item, int) for item in given):
            given = [given]  # type: ignore[list-item]
        prompts = []
        for item in given:
            if isinstance(item, int):
                raise Refused("`prompt` mixes tokens and texts", param="prompt")
            special = request.add_special_tokens
            prompts.append(
                self._tokenizer.encode(item, add_special_tokens=special)
                if isinstance(item, str)
                else item
            )
        return prompts

    def _orders(
        self,
        request: Generation,
        prompt: list[int],
        adapter: Adapter | None,
        *,
        limit: int | None,
        keep_special: bool = False,
    ) -> list[Order]:
        ending = self._ending(request, self._room_for(prompt, limit))
        sampling = self._sampling(request, ending)
        if (request.n or 1) > 1 and sampling.greedy:
            raise Refused("`n` must be 1 when the temperature is 0", param="n")
        return [
            Order(
                prompt=prompt,
                sampling=sampling
                if sampling.seed is None
                else replace(sampling, seed=sampling.seed + choice),
                ending=ending,
                adapter=adapter,
                # Some tokenizers mark the tags of tool calls as special.
                skip_special_tokens=request.skip_special_tokens and not keep_special,
            )
            for choice in range(request.n or 1)
        ]

    def _room_for(self, prompt: list[int], limit: int | None) -> int:
        """Return how many tokens the answer may have."""
        if not prompt:
            raise Refused("the prompt is empty", param="prompt")
        self._check_tokens(prompt, "prompt")  # a tokenizer may know more than the model
        room = self.context - len(prompt)
        if room < 1:
            raise Refused(
                f"This model's maximum context length is {self.context} tokens, and the prompt "
                f"has {len(prompt)}, which leaves no room for an answer; shorten it",
                param="input_tokens",
            )
        if limit is not None and limit > self.context:
            raise Refused(
                f"`max_tokens` is {limit}, but this model's maximum context length is "
                f"{self.context} tokens",
                param="max_tokens",
            )
        return min(room, limit or self._defaults.max_new_tokens or room)

    def _ending(self, request: Generation, max_tokens: int) -> Ending:
        asked = request.stop_token_ids or []
        self._check_tokens(asked, "stop_token_ids")
        own = frozenset[int]() if request.ignore_eos else self._other_ends
        return Ending(
            max_tokens=max_tokens,
            eos=None if request.ignore_eos else self._eos,
            stop_ids=own | frozenset(asked),
            stops=request.stops,
            include_stop=request.include_stop_str_in_output,
        )

    def _sampling(self, request: Generation, ending: Ending) -> Sampling:
        defaults, bias = self._defaults, request.logit_bias or {}
        self._check_tokens(list(bias), "logit_bias")
        if request.min_tokens > ending.max_tokens:
            raise Refused("`min_tokens` is above the most the answer may have", param="min_tokens")
        forbidden = ending.stop_ids if ending.eos is None else ending.stop_ids | {ending.eos}
        alternatives = request.alternatives if isinstance(request, Chat | Completion) else None
        return Sampling(
            temperature=_first(request.temperature, defaults.temperature, 1.0),
            top_p=_first(request.top_p, defaults.top_p, 1.0),
            top_k=int(_first(request.top_k, defaults.top_k, 0)),
            min_p=_first(request.min_p, defaults.min_p, 0.0),
            seed=request.seed,
            presence_penalty=request.presence_penalty or 0.0,
            frequency_penalty=request.frequency_penalty or 0.0,
            repetition_penalty=_first(
                request.repetition_penalty, defaults.repetition_penalty, 1.0
            ),
            bias=bias,
            min_tokens=request.min_tokens,
            forbidden=tuple(forbidden),
            top_logprobs=alternatives,
        )

    def _check_tokens(self, tokens: list[int], field: str) -> None:
        if not tokens:
            return
        wrong = min(tokens) if min(tokens) < 0 else max(tokens)
        if not 0 <= wrong < self._vocabulary:
            raise Refused(
                f"`{field}` names token {wrong}; this model's are 0 to {self._vocabulary - 1}",
                param=field,
            )


def _first(asked: float | None, default: float | None, otherwise: float) -> float:
    return next(value for value in (asked, default, otherwise) if value is not None)
