"""Tool calls are the same however the stream is cut."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.engines.embedded.hermes import CallArguments, CallStart, Content, HermesParser

Parsed = tuple[str, list[tuple[str, str]]]


def parse(pieces: list[str]) -> Parsed:
    parser, content, calls = HermesParser(), "", list[tuple[str, str]]()
    events = [event for piece in pieces for event in parser.push(piece)] + parser.flush()
    for event in events:
        match event:
            case Content(text):
                assert text
                content += text
            case CallStart(index, name):
                assert index == len(calls)
                calls.append((name, ""))
            case CallArguments(index, text):
                assert index == len(calls) - 1
                calls[-1] = (calls[-1][0], calls[-1][1] + text)
    assert parser.calls == len(calls)
    return content, calls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", ("plain text", [])),
        (
            '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
            ("", [("f", '{"a": 1}')]),
        ),
        (
            'Let me see. <tool_call>{"name":"f","arguments":{}}</tool_call>\n'
            '<tool_call>{"name":"g","arguments":{"b": [1, {}]}}</tool_call>\n',
            ("Let me see. ", [("f", "{}"), ("g", '{"b": [1, {}]}')]),
        ),
        (
            '<tool_call>{"arguments": {"x": 1} , "name": "g\\u0041"}</tool_call>',
            ("", [("gA", '{"x": 1}')]),
        ),
        (
            '<tool_call>{"name": "f", "arguments": {"t": "a \\" </tool_call> }"}}</tool_call>',
            ("", [("f", '{"t": "a \\" </tool_call> }"}')]),
        ),
        ('<tool_call>{"name": "f"}</tool_call> done', ("done", [("f", "{}")])),
        # Cut short by the token limit: what came is handed over as it is.
        ('<tool_call>{"name": "f", "arguments": {"a', ("", [("f", '{"a')])),
        ('<tool_call>{"name": "f", "arguments": {"a": 1}}', ("", [("f", '{"a": 1}')])),
        ('<tool_call>{"na', ('<tool_call>{"na', [])),
        # One brace too many, or one too few, still is the same call.
        ('<tool_call>{"name":"f","arguments":{"a":1}}}\n</tool_call>', ("", [("f", '{"a":1}')])),
        ('<tool_call>{"name":"f","arguments":{"a":1}\n</tool_call>', ("", [("f", '{"a":1}')])),
        # No closing tag before the next call.
        (
            '<tool_call>{"name":"f","arguments":{}}<tool_call>{"name":"g","arguments":{}}',
            ("", [("f", "{}"), ("g", "{}")]),
        ),
        # No calls at all.
        ("write <tool_call> tags, <tool", ("write <tool_call> tags, <tool", [])),
        ('<tool_call>{"foo": 1}</tool_call>', ('<tool_call>{"foo": 1}</tool_call>', [])),
        ("<tool_call><tool_call>x", ("<tool_call><tool_call>x", [])),
    ],
)
def test_what_is_a_call_and_what_is_text(text: str, expected: Parsed) -> None:
    assert parse([text]) == expected
    assert parse(list(text)) == expected


def test_the_name_comes_before_the_arguments_are_complete() -> None:
    parser = HermesParser()
    assert parser.push('<tool_call>\n{"name": "f"') == [CallStart(0, "f")]
    assert parser.push(', "arguments": {"city": "Pa') == [CallArguments(0, '{"city": "Pa')]
    assert parser.push('ris"}}\n</tool_call>') == [CallArguments(0, 'ris"}')]


FRAGMENTS = st.sampled_from(
    ["<tool_call>", "</tool_call>", "<tool", '{"name": "f"', ', "arguments": ', '{"a": "b"}']
) | st.sampled_from('{}[]":,\\\n x')


@settings(deadline=None)
@given(st.lists(FRAGMENTS, max_size=20))
@example(["<tool_call>", '{"name": "f"', "<tool_call>", "text"])
def test_any_cut_of_any_text_gives_the_same(fragments: list[str]) -> None:
    whole = "".join(fragments)
    assert parse(fragments) == parse([whole]) == parse(list(whole))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    calls=st.lists(st.tuples(st.text(min_size=1), st.dictionaries(st.text(), JSON, max_size=3))),
    compact=st.booleans(),
)
def test_well_formed_calls_come_through_exactly(
    calls: list[tuple[str, dict[str, object]]], compact: bool
) -> None:
    separators = (",", ":") if compact else None
    text = "".join(
        "<tool_call>\n"
        + json.dumps({"name": name, "arguments": arguments}, separators=separators)
        + "\n</tool_call>\n"
        for name, arguments in calls
    )
    content, parsed = parse(list(text))
    assert content == ""
    assert [(name, json.loads(arguments)) for name, arguments in parsed] == calls
