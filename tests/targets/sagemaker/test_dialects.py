"""Containers are asked, and read, in their own words."""

import json

import pytest

from penstock.targets.sagemaker.dialects import dialect_of, question, text_of

WORDS = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("engine", "asked", "answer"),
    [
        (
            "vllm",
            {"messages": WORDS, "max_tokens": 4},
            {"choices": [{"message": {"content": "Hello"}}]},
        ),
        (
            "tgi",
            {"inputs": "Hi", "parameters": {"max_new_tokens": 4}},
            [{"generated_text": "Hello"}],
        ),
        (
            "triton",
            {"text_input": "Hi", "stream": False, "parameters": {"max_tokens": 4}},
            {"text_output": "Hello"},
        ),
    ],
)
def test_a_question_and_its_answer(engine: str, asked: object, answer: object) -> None:
    dialect = dialect_of(engine)
    assert question(dialect, WORDS, {"max_tokens": 4}) == asked
    assert text_of(dialect, json.dumps(answer).encode()) == "Hello"
    with pytest.raises(ValueError, match="not an answer"):
        text_of(dialect, b'{"error": "x"}')
