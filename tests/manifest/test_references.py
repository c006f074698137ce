import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.ground.errors import UserError
from penstock.manifest.references import Reference, holds_secret, mentions, parse

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/hf-Ab12Cd"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("${env:HF_TOKEN}", Reference("env", "HF_TOKEN")),
        ("${env:_x9}", Reference("env", "_x9")),
        (f"${{secret:{ARN}}}", Reference("secret", ARN)),
    ],
)
def test_a_reference_is_read_and_written(text: str, reference: Reference) -> None:
    assert parse(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    ["", "HF_TOKEN", "$HF", "${env:}", "${env:9X}", "${env:A} ", "x${env:A}", "${secret:name}"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no reference to a secret"):
        parse(text)


@given(st.from_regex(r"[a-z]{12}[0-9]{4}", fullmatch=True))
def test_a_refusal_never_repeats_the_text(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert text not in str(caught.value)


def test_a_variable_is_looked_up_when_asked_for() -> None:
    assert parse("${env:KEY}").resolve({"KEY": "value"}) == "value"


@pytest.mark.parametrize("environment", [{}, {"KEY": ""}])
def test_a_missing_variable_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"\$\{env:KEY\} has no value.*export KEY="):
        parse("${env:KEY}").resolve(environment)


def test_a_secret_of_aws_is_not_read_here() -> None:
    with pytest.raises(UserError, match="cannot be read on this machine"):
        Reference("secret", ARN).resolve({})


def test_a_reference_is_noticed_anywhere() -> None:
    assert mentions("http://${env:HOST}:80")
    assert not mentions("$HOST {env}")


@pytest.mark.parametrize(
    "text", ["hf_abcdefghij", "sk-abcdefghij", "AKIAABCDEFGHIJKL", "http://me:secret@host"]
)
def test_what_looks_like_a_secret_is_noticed(text: str) -> None:
    assert holds_secret(text)


@pytest.mark.parametrize(
    "text", ["hf_", "Qwen/Qwen3-0.6B", "http://host:80/a@b", "task-abcdefghijk"]
)
def test_what_does_not_is_let_through(text: str) -> None:
    assert not holds_secret(text)
