"""The scorer: what raises a score, by how much, and which tier it gets."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.gateway.routing.score import (
    SHARES,
    Asked,
    asked_in_messages,
    asked_in_prompt,
    score_of,
)
from penstock.gateway.routing.settings import TierSettings
from penstock.gateway.routing.tiers import decide

TIERS = (
    TierSettings("small", "llama-8b", 0.0),
    TierSettings("medium", "llama-70b", 0.3),
    TierSettings("large", "llama-405b", 0.7),
)
PYTHON = "```python\ndef f(x):\n    return x == 1\n```\n"


def _ask(question: str, **more: object) -> Asked:
    raw = msgspec.json.encode([{"role": "user", "content": question}])
    return asked_in_messages(raw)._replace(**more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "tier"),
    [
        ("hi", "small"),
        ("What is the capital of France?", "small"),
        ("Translate 'good morning' into Spanish.", "small"),
        ("Write a birthday card for my aunt who likes gardening.", "small"),
        ("Why does this crash?\n" + PYTHON, "medium"),
        ("Compare leasing and buying a car, and explain why one is better.", "medium"),
        ("Prove step by step that $\\sqrt{2}$ is irrational: 2 * q^2 = p^2.", "medium"),
        ("Debug and refactor this; analyse the trade-offs.\n" + PYTHON * 60, "large"),
        (
            "Derive the gradient of the loss $L(w)$, prove that the matrix is positive, and "
            "design an algorithm for it.\n" + PYTHON,
            "large",
        ),
    ],
)
def test_what_gets_which_tier(question: str, tier: str) -> None:
    decision = decide(score_of(_ask(question)), TIERS, lambda _: True)
    assert decision is not None
    assert decision.tier.name == tier, decision.text


def test_reasons_name_the_features_strongest_first() -> None:
    score = score_of(_ask("Fix this:\n" + PYTHON * 200))
    assert score.reasons[:2] == ("long", "code")
    assert score_of(_ask("hi")) == (0.0, ())


@pytest.mark.parametrize(
    ("more", "feature"),
    [
        ({"tools": 6}, "tools"),
        ({"max_tokens": 4000}, "output"),
        ({"messages": 12}, "dialogue"),
        ({"structured": True}, "structure"),
        ({"characters": 8000}, "long"),
    ],
)
def test_each_feature_adds_its_share(more: dict[str, object], feature: str) -> None:
    score = score_of(_ask("hi", **more))
    assert score.reasons == (feature,)
    assert score.value == pytest.approx(SHARES[feature])


def test_shares_can_be_set() -> None:
    asked = _ask("Fix:\n" + PYTHON, tools=6)
    assert score_of(asked, {"tools": 0.5}) == (0.5, ("tools",))


@given(st.text(max_size=500), st.integers(0, 50), st.integers(0, 10_000), st.integers(1, 40))
def test_a_score_is_bounded_and_grows(text: str, tools: int, most: int, messages: int) -> None:
    asked = _ask(text, tools=tools, max_tokens=most, messages=messages)
    score = score_of(asked)
    assert 0 <= score.value <= 1
    harder = asked._replace(tools=tools + 1, characters=asked.characters * 2, structured=True)
    assert score_of(harder).value >= score.value


def test_only_the_last_question_is_read_and_the_whole_counted() -> None:
    messages = [
        {"role": "system", "content": "Prove, derive, design."},
        {"role": "user", "content": "Prove it step by step"},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": [{"type": "text", "text": "thanks"}, {"type": "image_url"}]},
    ]
    asked = asked_in_messages(json.dumps(messages).encode())
    assert (asked.question, asked.messages) == ("thanks\n", 4)


@given(st.binary(max_size=200))
def test_nothing_breaks_it(raw: bytes) -> None:
    for asked in (asked_in_messages(raw), asked_in_prompt(raw)):
        assert 0 <= score_of(asked).value <= 1


def test_tiers_that_may_not_be_used_are_skipped_and_told() -> None:
    hard = score_of(_ask("Debug and refactor this; analyse.\n" + PYTHON * 60))
    decision = decide(hard, TIERS, lambda model: model != "llama-405b")
    assert decision is not None
    assert decision.tier.name == "medium"
    assert decision.text.endswith("skipped:large")
    easy = decide(score_of(_ask("hi")), TIERS, lambda model: model == "llama-405b")
    assert easy is not None
    assert easy.text == "tier=large score=0.00 reasons=skipped:small,skipped:medium"
    assert decide(hard, TIERS, lambda _: False) is None
