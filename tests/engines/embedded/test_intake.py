"""Requests become orders: defaults of the model, limits of the context, what ends an answer."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.engines.embedded.intake import Defaults, Intake
from penstock.engines.embedded.protocol import Chat, Completion, Refused, Tokenize, parse
from penstock.engines.embedded.shape import read_shape
from penstock.engines.embedded.tokenizer import Tokenizer
from penstock.ground.errors import RequestError, UserError

TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.fixture
def make(folder: Path, tokenizer: Tokenizer) -> Any:
    def make(*, tools: bool = True, context: int = 64, **defaults: Any) -> Intake:
        shape = read_shape(folder)
        return Intake(tokenizer, shape, Defaults(**defaults), context=context, tools=tools)

    return make


def completion(**fields: Any) -> Completion:
    return parse(json.dumps({"prompt": [5, 6, 7], **fields}).encode(), Completion)


def chat(**fields: Any) -> Chat:
    messages = [{"role": "user", "content": "hi"}]
    return parse(json.dumps({"messages": messages, **fields}).encode(), Chat)


def test_the_models_defaults_apply_until_the_request_says_otherwise(make: Any) -> None:
    intake = make(temperature=0.5, top_k=20, eos_token_id=[1, 9], max_new_tokens=7)
    order = intake.chat(chat(), None)[0]
    assert (order.sampling.temperature, order.sampling.top_k) == (0.5, 20)
    assert order.ending.max_tokens == 7
    assert (order.ending.eos, order.ending.stop_ids) == (1, {9})
    order = intake.chat(chat(temperature=0, top_k=-1, max_tokens=3, stop_token_ids=[4]), None)[0]
    assert (order.sampling.temperature, order.sampling.top_k) == (0.0, -1)
    assert order.ending.max_tokens == 3
    assert order.ending.stop_ids == {4, 9}


def test_ends_can_be_ignored_or_forbidden_for_a_while(make: Any) -> None:
    intake = make(eos_token_id=[1, 9])
    order = intake.completion(completion(ignore_eos=True, stop_token_ids=[4]), None)[0]
    assert (order.ending.eos, order.ending.stop_ids) == (None, {4})
    order = intake.completion(completion(min_tokens=3, stop_token_ids=[4]), None)[0]
    assert set(order.sampling.forbidden) == {1, 4, 9}


def test_an_answer_ends_where_the_context_does(make: Any) -> None:
    intake = make()
    assert intake.completion(completion(max_tokens=64), None)[0].ending.max_tokens == 61
    assert (
        len(intake.chat(chat(), None)[0].prompt) + intake.chat(chat(), None)[0].ending.max_tokens
        == 64
    )
    with pytest.raises(Refused, match="maximum context length is 64 tokens"):
        intake.completion(completion(max_tokens=65), None)
    with pytest.raises(Refused, match="maximum context length is 64 tokens"):
        intake.completion(completion(prompt=[5] * 64), None)
    assert intake.completion(completion(prompt=[5] * 63), None)[0].ending.max_tokens == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": [5, "a"]}, "prompt"),
        ({"prompt": [320]}, "prompt"),
        ({"prompt": [[5], []]}, "prompt"),
        ({"stop_token_ids": [-1]}, "stop_token_ids"),
        ({"logit_bias": {"400": 1}}, "logit_bias"),
        ({"min_tokens": 17}, "min_tokens"),
        ({"n": 2, "temperature": 0}, "n"),
    ],
)
def test_what_cannot_be_ordered_is_refused_by_name(
    make: Any, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(Refused) as caught:
        make().completion(completion(**fields), None)
    assert caught.value.param == param


def test_a_tokenizer_that_knows_more_than_the_model_does_no_harm(
    folder: Path, tokenizer: Tokenizer
) -> None:
    shape = replace(read_shape(folder), vocabulary=60)
    intake = Intake(tokenizer, shape, Defaults(), context=64, tools=False)
    with pytest.raises(Refused, match="names token"):
        intake.completion(completion(prompt="weather"), None)


def test_each_choice_is_an_order_with_a_seed_of_its_own(make: Any) -> None:
    orders = make().completion(completion(prompt=["a", "bc"], n=2, seed=5), None)
    assert [order.sampling.seed for order in orders] == [5, 6, 5, 6]
    assert orders[0].prompt == orders[1].prompt != orders[2].prompt


def test_tools_are_shown_only_when_they_may_be_called(make: Any, tokenizer: Tokenizer) -> None:
    def prompt(**fields: Any) -> str:
        ids = make(context=256).chat(chat(tools=TOOLS, **fields), None)[0].prompt
        return tokenizer.decode(ids, skip_special_tokens=False)

    assert "tools" in prompt()
    assert "tools" not in prompt(tool_choice="none")
    with pytest.raises(Refused, match="--tool-call-parser"):
        make(tools=False).chat(chat(tools=TOOLS), None)


def test_tokenizing_takes_a_prompt_or_a_conversation(make: Any, tokenizer: Tokenizer) -> None:
    intake = make()
    assert intake.tokens(Tokenize(prompt="hi")) == tokenizer.encode("hi", add_special_tokens=True)
    messages = [{"role": "user", "content": "hi"}]
    assert intake.tokens(Tokenize(messages=messages)) == intake.chat(chat(), None)[0].prompt
    with pytest.raises(RequestError, match="prompt"):
        intake.tokens(Tokenize())


def test_defaults_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    assert Defaults.read(tmp_path) == Defaults()
    (tmp_path / "generation_config.json").write_text('{"temperature": "hot"}')
    with pytest.raises(UserError, match="temperature"):
        Defaults.read(tmp_path)
