"""Every form: any cut gives the same, what is no call stays as it was, text is never kept back."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.written_calls import CALLS, NAMES, Written, write

from penstock.chat.parsers.form import FORMS
from penstock.chat.parsers.reader import CallReader, Piece
from penstock.chat.parsers.written import WrittenCall

MARKS = [mark for form in FORMS.values() for mark in form.marks]
every_form = pytest.mark.parametrize("form", FORMS)


def read(form: str, *texts: str) -> list[Piece]:
    """Read the texts one after the other; neighbouring pieces of text are joined."""
    reader = CallReader(FORMS[form], NAMES)
    joined: list[Piece] = []
    for piece in [*(p for text in texts for p in reader.push(text)), *reader.finish()]:
        if joined and isinstance(piece, str) and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in pairwise(edges)]


CUTS = st.lists(st.integers(0, 10_000), max_size=30)
NEAR_MISSES = st.lists(
    st.sampled_from(
        [*MARKS, *(mark[:-2] for mark in MARKS), "</tool_call>", "[ARGS]", "[CALL_ID]", '{"name"',
         '{"name": "f"', '"arguments": {', '"parameters": {}', "[f(", "a=1", ")]", "}", "]", ";",
         "\n", " ", '"', "'", "\\", "text", "é", "{", "["]
    ),
    max_size=30,
).map("".join)  # fmt: skip


@every_form
@given(CALLS, st.booleans(), st.sampled_from(["", "Let me see. ", "é\n"]), CUTS)
def test_what_was_written_is_found_however_it_is_cut(
    form: str, calls: Written, spaced: bool, before: str, places: list[int]
) -> None:
    if before == "Let me see. " and not spaced and FORMS[form].bare:
        before += "\n"
    text = before + write(form, calls, spaced=spaced)
    found = read(form, *cut(text, places))
    assert found[: bool(before)] == ([before] if before else [])
    asked = [piece for piece in found[bool(before) :] if isinstance(piece, WrittenCall)]
    assert len(asked) == len(found) - bool(before)
    assert [(call.name, json.loads(call.arguments)) for call in asked] == calls
    assert found == read(form, text)


@every_form
@given(st.text() | NEAR_MISSES, CUTS)
def test_nothing_is_lost_and_no_cut_matters(form: str, text: str, places: list[int]) -> None:
    whole = read(form, text)
    assert read(form, *cut(text, places)) == whole
    assert read(form, *text) == whole
    if not any(isinstance(piece, WrittenCall) for piece in whole):
        assert "".join(map(str, whole)) == text


@every_form
@given(st.text(alphabet=st.characters(exclude_characters="<[{", codec="utf-8")), CUTS)
def test_text_before_a_possible_mark_is_never_held_back(
    form: str, text: str, places: list[int]
) -> None:
    reader = CallReader(FORMS[form], NAMES)
    for piece in cut(text, places):
        assert "".join(map(str, reader.push(piece))) == piece
    assert reader.finish() == []


@every_form
@given(st.text(max_size=20), CALLS)
def test_a_mark_holds_back_no_more_than_itself(form: str, text: str, calls: Written) -> None:
    mark = FORMS[form].marks[0]
    for size in range(1, len(mark)):
        if not any(text.endswith(m[:n]) for m in FORMS[form].marks for n in range(1, len(m))):
            reader = CallReader(FORMS[form], NAMES)
            before = "-" + text
            given_out = "".join(map(str, reader.push(before + mark[:size])))
            assert before.startswith(given_out)
            if "\n" not in before and not set("{[<") & set(before):
                assert given_out == before
            assert reader.finish() or given_out == before


LONG = "x" * 300_000


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("hermes", "<tool_call>"),
        ("hermes", "<tool_call> tag"),
        ("hermes", '<tool_call>{"name": "f", "arguments": {}'),
        ("hermes", '<tool_call>{"name": "f", "arguments": {}} and more'),
        ("hermes", '<tool_call>{"name": "f", "arguments": {]}</tool_call>'),
        ("hermes", '<tool_call>{"name": 3}</tool_call>'),
        ("hermes", '<tool_call>["f"]</tool_call>'),
        ("hermes", '<tool_call>{"name": "f", "arguments": ' + "[" * 100),
        ("hermes", '<tool_call>{"name": "' + LONG + '"}</tool_call>'),
        ("llama3_json", '{"name": "Ann", "parameters": {}}'),
        ("llama3_json", '{"name": "f", "age": 3}'),
        ("llama3_json", '{"city": "Rome"}'),
        ("llama3_json", 'In words {"name": "f", "parameters": {}}'),
        ("llama3_json", '<|python_tag|>brave_search.call(query="x")'),
        ("llama3_json", '{"name": "f", "parameters": {}'),
        ("mistral", "[TOOL_CALLS]"),
        ("mistral", "[TOOL_CALLS] []"),
        ("mistral", '[TOOL_CALLS] [{"name": "f"}, 3]'),
        ("mistral", "[TOOL_CALLS]f[ARGS]{'a': 1}"),
        ("mistral", "[TOOL_CALLS]f and so on"),
        ("pythonic", "[1, 2, 3]"),
        ("pythonic", "[a link](http://x)"),
        ("pythonic", "[f(1)]"),
        ("pythonic", "[f(a=b)]"),
        ("pythonic", "[f(a=f())]"),
        ("pythonic", "[f(a=1), g()]"),
        ("pythonic", "[f(a=1), 3]"),
        ("pythonic", "[f(**{})]"),
        ("pythonic", "[f(a=1j)]"),
        ("pythonic", "[f(a=1e999)]"),
        ("pythonic", "[f(a={1: 2})]"),
        ("pythonic", r"[f(a='\ud800')]"),
        ("pythonic", "see [f(a=1)]"),
        ("pythonic", "[f(a='"),
        ("pythonic", "<|python_start|>f(a=1)<|python_end|>"),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_no_call_is_the_text_it_was(form: str, text: str) -> None:
    assert "".join(map(str, read(form, text))) == text
    assert "".join(map(str, read(form, *text[:3000], text[3000:]))) == text
    assert not any(isinstance(piece, WrittenCall) for piece in read(form, text))


F, G = WrittenCall("f", "{}"), WrittenCall("add", '{"n": 1}')


@pytest.mark.parametrize(
    ("form", "text", "found"),
    [
        ("hermes", '<tool_call>{"name": "f"}</tool_call>\n', [F]),
        ("hermes", '<tool_call>{"name": "f", "arguments": null}', [F]),
        ("hermes", '<tool_call>{"name": "f", "arguments": "{}"}</tool', [F]),
        ("hermes", '<tool_call>{"name": "f"}\n<tool_call>{"name": "f"}</tool_call>', [F, F]),
        ("hermes", '<tool_call><tool_call>{"name": "f"}</tool_call>', ["<tool_call>", F]),
        ("hermes", '<tool_call>{"name": "f"}</tool_call>\n\nDone', [F, "\n\nDone"]),
        ("hermes", '<tool_call>{"name": "nobody"}</tool_call>', [WrittenCall("nobody", "{}")]),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"a": "x\ny"}}</tool_call>',
         [WrittenCall("f", '{"a": "x\\ny"}')]),
        ("llama3_json", 'I do:\n{"name": "add", "parameters": {"n": 1}}', ["I do:\n", G]),
        ("llama3_json", '{"type": "function", "name": "add", "parameters": {"n": 1}}', [G]),
        ("llama3_json",
         '{"type": "function", "function": {"name": "add", "parameters": {"n": 1}}}', [G]),
        ("llama3_json", '<|python_tag|>{"name": "nobody", "parameters": {}}',
         [WrittenCall("nobody", "{}")]),
        ("llama3_json", '{"name": "f", "parameters": {}};', [F]),
        ("llama3_json", '{"name": "f", "parameters": {}}; yes', [F, "; yes"]),
        ("mistral", '[TOOL_CALLS] {"name": "f"}', [F]),
        ("mistral", '[TOOL_CALLS]add{"n": 1}', [G]),
        ("mistral", '[TOOL_CALLS]add[CALL_ID]x1y2[ARGS]{"n": 1}', [G]),
        ("pythonic", "[add(n=1), f()] ", [G, F]),
        ("pythonic", "[add(n=true)]", [WrittenCall("add", '{"n": true}')]),
        ("pythonic", "<|tool_call_start|>[f()]<|tool_call_end|>ok", [F, "ok"]),
        ("pythonic", "<|python_start|>[a.b(x=-1)]", [WrittenCall("a.b", '{"x": -1}')]),
    ],
)  # fmt: skip
def test_calls_as_models_write_them(form: str, text: str, found: list[Piece]) -> None:
    assert read(form, text) == found
    assert read(form, *text) == found
