"""What a budget reserves: bytes bound a prompt of text, the context bounds everything else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.demand import demand_of
from penstock.gateway.fields import read_chat, read_completion

CONTEXT = 1_000_000
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


def _prompt(messages: list[Any], **fields: object) -> tuple[int, int]:
    """Return the bound of the prompt and the size of the body."""
    body = json.dumps({"model": "m", "messages": messages, **fields}).encode()
    return demand_of(read_chat(body), body, CONTEXT).prompt, len(body)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "hello"}],
        [{"role": "user", "content": 'a list [1, 2], and "file" and "image_url" in a text'}],
        [{"role": "user", "content": [{"type": "text", "text": "in [parts]"}]}],
        [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}],
        [{"role": "user", "content": "x" * 100_000}],
    ],
)
def test_bytes_bound_text(messages: list[Any]) -> None:
    prompt, size = _prompt(messages)
    assert size <= prompt <= size + 512


@pytest.mark.parametrize(
    "part",
    [
        PICTURE,
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/cat.mp4"}},
        {"type": "file", "file": {"file_id": "f-1"}},
        {"type": "text", "text": "a cat", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "image_embeds", "image_embeds": "AAAA"},
        {"type": "what comes next year"},
        {"image": "which kind is not told"},
    ],
)
@pytest.mark.parametrize("before", [[], [{"role": "user", "content": "hello"}]])
def test_the_context_bounds_what_is_no_text(part: object, before: list[Any]) -> None:
    content = [{"type": "text", "text": "what is this?"}, part]
    prompt, _ = _prompt([*before, {"role": "user", "content": content}])
    assert prompt == CONTEXT


@pytest.mark.parametrize(
    "body",
    [
        rb'{"model":"m","messages":[{"role":"user","content":[{"type":"image_\u0075rl",'
        rb'"image_\u0075rl":{"url":"https://example.com"}}]}]}',
        rb'{"model":"m","messages":[{"role":"user","conten\u0074":[{"type":"image_url",'
        rb'"image_url":{"url":"https://example.com"}}]}]}',
        b'{"model":"m","messages":[{"role":"user","content":"a","content":[{"type":"image_url",'
        b'"image_url":{"url":"https://example.com"}}]}]}',
        b'{"model":"m","messages":[["not","a","message"]]}',
    ],
)
def test_it_cannot_be_hidden(body: bytes) -> None:
    assert demand_of(read_chat(body), body, CONTEXT).prompt == CONTEXT


@pytest.mark.parametrize(
    "field",
    [
        {"chat_template": "{{ messages }}"},
        {"chat_template_kwargs": {"a": 1}},
        {"documents": [{"text": "a"}]},
        {"mm_processor_kwargs": {"a": 1}},
    ],
)
def test_the_context_bounds_what_the_client_adds_to_the_template(field: dict[str, object]) -> None:
    assert _prompt([{"role": "user", "content": "hello"}], **field)[0] == CONTEXT


@given(st.lists(st.text(), min_size=1), st.booleans())
def test_a_picture_is_found_among_any_texts(texts: list[str], shown: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": text} for text in texts]
    if shown:
        messages.insert(len(texts) // 2, {"role": "user", "content": [PICTURE]})
    assert (_prompt(messages)[0] == CONTEXT) is shown


@pytest.mark.parametrize(
    ("fields", "completion", "asked"),
    [
        ({}, CONTEXT, None),
        ({"max_tokens": 10}, 10, 10),
        ({"max_tokens": 10, "max_completion_tokens": 20}, 20, 20),
        ({"max_completion_tokens": 5, "n": 3}, 15, 5),
        ({"max_tokens": 0}, CONTEXT, None),
        ({"max_tokens": 2 * CONTEXT}, CONTEXT, 2 * CONTEXT),
    ],
)
def test_the_longest_answer(fields: dict[str, int], completion: int, asked: int | None) -> None:
    body = json.dumps({"model": "m", "messages": [], **fields}).encode()
    demand = demand_of(read_chat(body), body, CONTEXT)
    assert (demand.completion, demand.asked) == (completion, asked)


@pytest.mark.parametrize(
    ("prompt", "prompts"), [("text", 1), ([1, 2, 3], 1), (["a", "b"], 2), ([[1], [2], [3]], 3)]
)
def test_every_prompt_of_a_completion_counts(prompt: object, prompts: int) -> None:
    body = json.dumps({"model": "m", "prompt": prompt, "max_tokens": 7}).encode()
    demand = demand_of(read_completion(body), body, CONTEXT)
    assert demand.completion == 7 * prompts
    assert len(body) <= demand.prompt <= len(body) + 512
