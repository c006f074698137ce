"""What must not be in an audit is not; what means nothing stays."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.ground.errors import UserError
from penstock.manifest.archive_checks import AUDIT_RULES
from penstock.registry.audit.redaction import RULES, Redaction, is_card
from penstock.registry.keys import new_secret

ALL = Redaction(RULES, {})

SECRETS = {
    "email": ["ann.o'hara+x@mail.example.co.uk", "A@b.de"],
    "card": ["4111 1111 1111 1111", "4111111111111111", "5500-0000-0000-0004", "340000000000009"],
    "aws_key": ["AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"],
    "api_key": [
        "sk-proj-abcdefghijklmnopqrstuv",
        new_secret(),
        "hf_abcdefghijklmnopqrstuvwxyz",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    ],
    "phone": ["+49 170 1234567", "+1 (415) 555-0132", "0049 89 1234567", "415-555-0132"],
}
HARMLESS = [
    "call me at noon",
    "it costs 1234567 yen",
    "version 1.2.3",
    "2026-11-21 07:00:00",
    "4111 1111 1111 1112",  # no card: its digits do not add up
    "user at example dot com",
    "order 123456",
]


def test_the_manifest_knows_the_rules() -> None:
    assert set(RULES) == set(AUDIT_RULES)


@pytest.mark.parametrize(
    ("rule", "secret"),
    [
        pytest.param(rule, each, id=f"{rule}-{at}")
        for rule, found in SECRETS.items()
        for at, each in enumerate(found)
    ],
)
def test_secrets_are_taken_out(rule: str, secret: str) -> None:
    assert ALL.text(f"here: {secret}, and more") == f"here: [{rule}], and more"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_means_nothing_stays(text: str) -> None:
    assert ALL.text(text) == text


def test_only_the_rules_that_were_chosen_apply() -> None:
    redaction = Redaction(("email",), {"patient": "P-[0-9]{6}"})
    assert redaction.text("P-123456 a@b.de +49 170 1234567") == "[patient] [email] +49 170 1234567"


@pytest.mark.parametrize("pattern", ["(a)\\1", "(?=a)", "(", "a{100000}"])
def test_a_pattern_that_cannot_be_used_is_told(pattern: str) -> None:
    with pytest.raises(UserError, match=r"audit\.patterns\.mine"):
        Redaction((), {"mine": pattern})


def test_a_cunning_text_takes_no_longer() -> None:
    redaction = Redaction(RULES, {"evil": "(a+)+$"})
    since_s = time.thread_time()
    redaction.text("a" * 200_000 + "!")
    redaction.text("1 " * 100_000)
    redaction.text("a@" * 100_000)
    assert time.thread_time() - since_s < 5.0


def test_numbers_are_looked_at_and_keys_are_left() -> None:
    value = {"a@b.de": [4111111111111111, 7, True, None, 1.5, {"x": "a@b.de"}]}
    shown = {"a@b.de": ["[card]", 7, True, None, 1.5, {"x": "[email]"}]}
    assert ALL.value(value) == shown


PLANTED = st.sampled_from([each for found in SECRETS.values() for each in found])
NOISE = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(deadline=None)
@given(NOISE, PLANTED, NOISE)
def test_planted_secrets_never_survive(before: str, secret: str, after: str) -> None:
    value = {"messages": [{"role": "user", "content": f"{before} {secret} {after}"}]}
    assert secret not in json.dumps(ALL.value(json.loads(json.dumps(value))), ensure_ascii=False)


CARDS = [
    ("4111111111111111", True),
    ("41111111111111110", True),
    ("4111111111111112", False),
    ("79927398713", False),
    ("9999999999999", False),
]


@pytest.mark.parametrize(("digits", "good"), CARDS)
def test_cards_are_told_by_their_digits(digits: str, good: bool) -> None:
    assert is_card(digits) is good
