"""Tool calls over HTTP, from a model that can say nothing but what it was taught here.

Its hidden state is the last token's one-hot vector (attention and MLP add nothing), so its output
layer is a table of which token follows which: it recites one text, whatever the prompt.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from tests.engines.embedded.engine_process import EngineProcess
from tests.engines.embedded.random_models import BASE, layer_sizes, write_safetensors

TOOLS: Any = [{"type": "function", "function": {"name": "get_current_weather"}}]
ARGUMENTS = '{"location": "Köln"}'
CALL = f'{{"name": "get_current_weather", "arguments": {ARGUMENTS}}}'
RECITED = f"<tool_call>\n{CALL}\n</tool_call>"


def write_reciter(folder: Path, text: str) -> Path:
    """Write a model that recites `text` and ends: one vocabulary entry for each position."""
    folder.mkdir()
    size = len(text) + 2
    pieces = [f"{at}" for at in range(size)]
    config = BASE | {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": size + size % 2,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": 2,
        "intermediate_size": 2,
        "num_hidden_layers": 1,
        "vocab_size": size,
        "eos_token_id": size - 1,
    }
    hidden = config["hidden_size"]
    tensors: dict[str, Any] = {
        "model.embed_tokens.weight": np.eye(size, hidden),
        "model.norm.weight": np.ones(hidden),
        "lm_head.weight": np.roll(np.eye(size, hidden), 1, axis=0),
        "model.layers.0.input_layernorm.weight": np.ones(hidden),
        "model.layers.0.post_attention_layernorm.weight": np.ones(hidden),
    }
    for name, shape in layer_sizes(config).items():
        tensors[f"model.layers.0.{name}.weight"] = np.zeros(shape)
    write_safetensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(pieces, text)))
    # The prompt is always the first entry, whatever the conversation.
    (folder / "chat_template.jinja").write_text("^")
    return folder


def _tokenizer(pieces: list[str], text: str) -> dict[str, Any]:
    """Return a tokenizer that writes "^" as entry 0 and entry n as character n of the text."""
    names = ["^", *(f"{chr(0xE000 + at)}" for at in range(len(text))), "$"]
    steps = [
        {"type": "Replace", "pattern": {"String": name}, "content": character}
        for name, character in zip(names[1:-1], text, strict=True)
    ]
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [*steps, {"type": "Fuse"}]},
        "model": {
            "type": "WordLevel",
            "vocab": {name: at for at, name in enumerate(names)},
            "unk_token": "^",
        },
    }


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """A client of a model that always calls the weather tool."""
    folder = write_reciter(tmp_path_factory.mktemp("reciter") / "call", RECITED)
    with (
        EngineProcess("--model", str(folder), "--served-model-name", "m") as process,
        openai.OpenAI(base_url=f"{process.url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    messages: Any = [{"role": "user", "content": "Weather?"}]
    settings: Any = {"model": "m", "temperature": 0} | fields
    return client.chat.completions.create(messages=messages, **settings)


def test_a_whole_answer_holds_the_call(caller: openai.OpenAI) -> None:
    choice = ask(caller, tools=TOOLS).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.id.startswith("chatcmpl-tool-")
    assert call.function.name == "get_current_weather"
    assert call.function.arguments == ARGUMENTS


def test_a_stream_says_the_name_first_and_then_the_arguments(caller: openai.OpenAI) -> None:
    chunks = list(ask(caller, tools=TOOLS, stream=True))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert calls[0].id
    assert (calls[0].type, calls[0].function.name) == ("function", "get_current_weather")
    assert all(call.id is None and call.function.name is None for call in calls[1:])
    assert {call.index for call in calls} == {0}
    assert "".join(call.function.arguments for call in calls) == ARGUMENTS
    assert len(calls) > 10
    assert not any(chunk.choices[0].delta.content for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_call_that_is_cut_short_says_so(caller: openai.OpenAI) -> None:
    for stream in (False, True):
        answer = ask(caller, tools=TOOLS, max_tokens=len(RECITED) - 20, stream=stream)
        last = list(answer)[-1] if stream else answer
        assert last.choices[0].finish_reason == "length"


def test_without_tools_the_text_is_just_text(caller: openai.OpenAI) -> None:
    for fields in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        choice = ask(caller, **fields).choices[0]
        assert choice.message.content == RECITED
        assert choice.finish_reason == "stop"
        assert not choice.message.tool_calls
