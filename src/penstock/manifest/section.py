"""What every section of `penstock.yaml` has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
NAME_RULE = "letters, digits, '.', '_' and '-', 63 at most, a letter or digit first"
"""`NAME_PATTERN` in words."""
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A name that goes into addresses and file names."""


class Section(BaseModel):
    """Base of every section: immutable; unknown keys are errors; a blank means the default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _drop_blanks(cls, given: object) -> object:
        if given is None:
            return {}
        if isinstance(given, dict):
            return {key: value for key, value in given.items() if value is not None}
        return given
