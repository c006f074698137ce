"""Keys of the cache: what must share an answer does, and nothing else ever."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.registry.cache.canonical import (
    INDIFFERENT,
    Scope,
    is_repeatable,
    key_of,
    read_fields,
)

SECRET = b"s" * 32
SCOPE = Scope("alice", b"tiny\0", "v1", b"/v1/chat/completions")
BASE: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "hi"}],
    "temperature": 0,
    "max_tokens": 5,
}

SCOPES = [
    Scope(*parts)
    for parts in itertools.product(
        ("alice", "alic", "Alice", "alice\0", "ealice", ""),
        (b"tiny\0", b"tiny\0org-a", b"tin", b"etiny\0"),
        ("v1", "v2", ""),
        (b"/v1/chat/completions", b"/v1/completions"),
        ((), ("calculate_math",), ("search_database",)),
    )
]

MEANINGFUL: dict[str, Any] = {
    "messages": [
        [{"role": "user", "content": "hi "}],
        [{"role": "system", "content": "hi"}],
        [{"role": "user", "content": "hi"}, {"role": "user", "content": "hi"}],
        [{"role": "user", "content": "hi", "name": "bob"}],
    ],
    "model": ["other"],
    "temperature": [0.1, 1],
    "max_tokens": [4, 6],
    "max_completion_tokens": [5],
    "top_p": [0.9],
    "top_k": [3],
    "min_p": [0.1],
    "seed": [1, 2],
    "stop": ["a", ["a"], ["a", "b"], ["b", "a"]],
    "n": [2],
    "logit_bias": [{"1": 5}, {"1": 6}],
    "logprobs": [True],
    "top_logprobs": [2],
    "presence_penalty": [0.5],
    "frequency_penalty": [0.5],
    "repetition_penalty": [1.1],
    "response_format": [{"type": "json_object"}],
    "structured_outputs": [{"choice": ["a"]}],
    "tools": [[{"type": "function", "function": {"name": "f"}}]],
    "tool_choice": ["none", "auto"],
    "chat_template_kwargs": [{"enable_thinking": False}],
    "cache_salt": ["one", "two"],
    "echo": [True],
    "a_field_of_tomorrow": [1],
}


def key(fields: dict[str, Any], scope: Scope = SCOPE, secret: bytes = SECRET) -> bytes:
    read = read_fields(json.dumps(fields).encode())
    assert read is not None
    return key_of(secret, scope, read)


def test_no_two_scopes_share_a_key() -> None:
    assert len({key(BASE, scope) for scope in SCOPES}) == len(SCOPES)


def test_no_two_meaningful_differences_share_a_key() -> None:
    variants = [BASE]
    variants += [{**BASE, name: value} for name, values in MEANINGFUL.items() for value in values]
    variants += [
        {**BASE, one: MEANINGFUL[one][0], two: MEANINGFUL[two][0]}
        for one, two in itertools.combinations(MEANINGFUL, 2)
    ]
    assert len({key(fields) for fields in variants}) == len(variants)


def test_another_secret_is_another_key() -> None:
    assert key(BASE) != key(BASE, secret=b"t" * 32)


def test_how_it_is_written_does_not_matter() -> None:
    fields = {**BASE, "logit_bias": {"1": 1, "2": 2}}
    back = dict(reversed(list(fields.items()))) | {"logit_bias": {"2": 2, "1": 1}}
    texts = (
        json.dumps(fields),
        json.dumps(back, indent=3),
        json.dumps({**fields, "seed": None}),
        json.dumps(fields).replace("hi", "\\u0068i"),
    )
    reads = [read_fields(text.encode()) for text in texts]
    assert len({key_of(SECRET, SCOPE, read) for read in reads if read is not None}) == 1


@pytest.mark.parametrize("name", sorted(INDIFFERENT))
def test_who_asks_and_in_which_form_does_not_matter(name: str) -> None:
    assert key({**BASE, name: "x"}) == key(BASE)


SCALARS_TEXT = st.text("ab\0é", max_size=2)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | SCALARS_TEXT
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)
FIELDS = st.dictionaries(st.sampled_from(sorted(MEANINGFUL)), JSON, max_size=4)


@given(FIELDS, FIELDS)
def test_keys_agree_exactly_where_requests_do(one: dict[str, Any], other: dict[str, Any]) -> None:
    def meaning(fields: dict[str, Any]) -> str:
        kept = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(kept, sort_keys=True)

    assert (key(one) == key(other)) == (meaning(one) == meaning(other))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"a": 1e999999}x', b'{"return_token_ids": true}', b"[" * 100_000]
)
def test_what_cannot_be_read_or_replayed_is_not_cached(body: bytes) -> None:
    assert read_fields(body) is None


@pytest.mark.parametrize(
    ("fields", "repeats"),
    [
        ({"temperature": 0}, True),
        ({"temperature": 0.0}, True),
        ({"temperature": 1, "seed": 0}, True),
        ({"temperature": 0.5}, False),
        ({}, False),
        ({"temperature": "0"}, False),
    ],
)
def test_only_what_repeats_is_cached_unasked(fields: dict[str, Any], repeats: bool) -> None:
    assert is_repeatable(fields) is repeats
