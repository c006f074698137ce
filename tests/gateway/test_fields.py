"""Fields of a request: known, refused by name, passed on untouched."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.gateway_engine import ScriptedEngine
from tests.gateway.gateway_process import BOB, GatewayProcess, chat_body

from penstock.gateway.fields import (
    REFUSED,
    ChatRequest,
    ask_for_usage,
    read_chat,
    read_completion,
)
from penstock.ground.errors import RequestError


@pytest.mark.parametrize("name", REFUSED)
def test_a_field_that_is_not_supported_is_refused_by_name(
    gateway: GatewayProcess, engine: ScriptedEngine, name: str
) -> None:
    answer = gateway.post("/v1/chat/completions", chat_body() | {name: None}, BOB)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["param"], error["code"]) == (name, "unsupported_parameter")
    assert REFUSED[name] in error["message"]
    assert not engine.asked


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b'{"model": "m", "messages": [], "temprature": 1}', "temprature", "unknown_parameter"),
        (b'{"messages": []}', "model", "missing_parameter"),
        (b'{"model": "m"}', "messages", "missing_parameter"),
        (b'{"model": 3, "messages": []}', "model", "invalid_type"),
        (b'{"model": "m", "messages": [], "n": "1"}', "n", "invalid_type"),
        (b'{"model": "m", "messages": [], "stream_options": {"x": 1}}', "stream_options.x",
         "unknown_parameter"),
        (b'{"model": "m", "messages": [], "stream": 1}', "stream", "invalid_type"),
        (b"[]", "", "invalid_type"),
        (b"", "", "invalid_json"),
        (b"{", "", "invalid_json"),
        (b'{"model": "m", "messages": []} x', "", "invalid_json"),
        (b"\xff\xfe", "", "invalid_json"),
        (b'{"model": "\xff", "messages": []}', "", "invalid_json"),
        (b'{"model": "m", "messages": [{"content": "\xff"}]}', "", "invalid_json"),
        (b'{"model": "m", "messages": ' + b"[" * 3000 + b"]" * 3000 + b"}", "", "invalid_json"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(body: bytes, param: str, code: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_chat(body)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert str(caught.value)


def test_the_nearest_field_is_named() -> None:
    with pytest.raises(RequestError, match="Did you mean `temperature`"):
        read_chat(b'{"model": "m", "messages": [], "temprature": 1}')


def test_a_name_of_megabytes_takes_no_time_and_is_not_repeated() -> None:
    body = b'{"model": "m", "messages": [], "%b": 1}' % (b"x" * 4_000_000)
    began = time.thread_time()
    with pytest.raises(RequestError) as caught:
        read_chat(body)
    assert time.thread_time() - began < 0.5
    assert len(str(caught.value)) < 300


def test_completions_have_fields_of_their_own() -> None:
    assert read_completion(b'{"model": "m", "prompt": [1, 2], "echo": true}').model == "m"
    with pytest.raises(RequestError, match="`messages` is not a known field"):
        read_completion(b'{"model": "m", "prompt": "x", "messages": []}')


@pytest.mark.parametrize(
    ("fields", "ours"),
    [({}, True), ({"tools": []}, True), ({"tools": None}, True), ({"tool_choice": "auto"}, True),
     ({"tool_choice": None}, True), ({"tool_choice": "none"}, False),
     ({"tool_choice": "required"}, True), ({"tools": [{}]}, True)],
)  # fmt: skip
def test_whose_tools_serve(fields: dict[str, object], ours: bool) -> None:
    assert read_chat(json.dumps(chat_body() | fields).encode()).leaves_tools_to_us is ours


texts = st.text(max_size=10)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
options = st.fixed_dictionaries(
    {},
    optional={
        "include_usage": st.sampled_from([None, False]),
        "continuous_usage_stats": st.sampled_from([None, True, False]),
    },
)
bodies = st.fixed_dictionaries(
    {"model": texts, "messages": values, "stream": st.just(True)},
    optional={"stop": values, "logit_bias": values, "stream_options": st.none() | options},
)


@settings(deadline=None)
@given(
    fields=bodies,
    indent=st.sampled_from([None, 0, 2]),
    space=st.sampled_from(["", " ", "\n", "\r\n\t "]),
    ascii_only=st.booleans(),
)
def test_asking_for_usage_changes_nothing_else(
    fields: dict[str, object], indent: int | None, space: str, ascii_only: bool
) -> None:
    text = space + json.dumps(fields, indent=indent, ensure_ascii=ascii_only) + space
    body = text.encode("utf-8", "surrogatepass")
    request: ChatRequest = read_chat(body)
    asked = json.loads(ask_for_usage(body, request))
    given_options = fields.pop("stream_options", None)
    got_options = asked.pop("stream_options")
    assert asked == fields
    assert got_options["include_usage"] is True
    continuous = isinstance(given_options, dict) and given_options.get("continuous_usage_stats")
    assert bool(got_options.get("continuous_usage_stats")) is bool(continuous)
    assert read_chat(json.dumps(asked | {"stream_options": got_options}).encode()).wants_usage


def test_stream_options_that_are_null_or_spelt_in_escapes() -> None:
    for name in (b'"stream_options"', b'"stream_option\\u0073"'):
        body = b'{"model": "m", "messages": [], "stream": true, %b: null}' % name
        asked = ask_for_usage(body, read_chat(body))
        assert read_chat(asked).wants_usage
        assert json.loads(asked)["stream_options"] == {"include_usage": True}
