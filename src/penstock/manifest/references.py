"""References to secrets: `${env:NAME}` and `${secret:ARN}`.

`penstock.yaml` is committed, copied and printed, so it names secrets and never holds them. A
reference is resolved where the value is used, as late as can be, and the value is never shown.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from penstock.ground.errors import UserError

PATTERN = (
    r"^\$\{(env:[A-Za-z_][A-Za-z0-9_]*"
    r"|secret:arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+)\}$"
)
"""A whole reference; an ARN is one of AWS Secrets Manager."""

Secret = Annotated[str, Field(pattern=PATTERN)]
"""A field that takes a reference and refuses a value."""

_TOKEN = re.compile(
    r"\b(hf_|sk-|ghp_|github_pat_|glpat-|xox[abp]-|AKIA|ASIA)[A-Za-z0-9_-]{8,}|://[^/\s:@]+:[^/\s@]+@"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret lies: `name` is an environment variable or the ARN of a secret."""

    source: Literal["env", "secret"]
    name: str

    def resolve(self, environment: Mapping[str, str]) -> str:
        """The secret itself, from `environment`.

        Raises:
            UserError: the variable is not set or empty, or the secret lies in AWS.
        """
        if self.source == "secret":
            raise UserError(
                f"{self} cannot be read on this machine",
                why="secrets of AWS are read by what runs in AWS",
                fix="Use ${env:NAME} here.",
            )
        if not (value := environment.get(self.name)):
            raise UserError(
                f"{self} has no value",
                why=f"the environment variable {self.name} is not set",
                fix=f"Set it: export {self.name}=...",
            )
        return value

    def __str__(self) -> str:
        return f"${{{self.source}:{self.name}}}"


def parse(text: str) -> Reference:
    """Read `${env:NAME}` or `${secret:ARN}`.

    Raises:
        UserError: `text` is no reference; the message does not repeat it, it may be a secret.
    """
    if not re.fullmatch(PATTERN, text):
        raise UserError("this is no reference to a secret", fix="Write ${env:NAME}.")
    source, _, name = text[2:-1].partition(":")
    return Reference("env" if source == "env" else "secret", name)


def mentions(text: str) -> bool:
    """Whether `text` holds what looks like a reference, whole or in part."""
    return "${env:" in text or "${secret:" in text


def holds_secret(text: str) -> bool:
    """Whether `text` holds what looks like a token, or a password in an address."""
    return bool(_TOKEN.search(text))
