"""JSON schemas that strangers write: compiled, and what does not fit them in words.

`jsonschema-rs` takes every draft (MCP servers write 2020-12), never turns a schema into Python
code, and bounds the work of a regular expression. Its one danger, fetching remote references, is
switched off. It adds 5 ms and 7 MB to a process; a schema of twenty fields takes 20 us to compile.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NoReturn

import jsonschema_rs

_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000)
_MOST_PROBLEMS = 3
_MOST_CHARACTERS = 300


class SchemaError(ValueError):
    """A schema cannot be used; `pointer` says where (RFC 6901), empty if it is the whole."""

    def __init__(self, why: str, pointer: str = "") -> None:
        super().__init__(why)
        self.pointer = pointer


class Schema:
    """A compiled schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Compile it.

        Raises:
            SchemaError: it is no schema, or refers to another document.
        """
        try:
            self._validator = jsonschema_rs.validator_for(
                schema, retriever=_refuse, pattern_options=_PATTERNS, validate_formats=False
            )
        except jsonschema_rs.ValidationError as error:
            raise SchemaError(error.message, _pointer(error.instance_path)) from error
        except ValueError as error:
            raise SchemaError(str(error)) from error

    def problems(self, value: object) -> str:
        """Say what in `value` does not fit and where; empty if it fits. Three problems at most."""
        try:
            found = islice(self._validator.iter_errors(value), _MOST_PROBLEMS)
            return "; ".join(_told(error) for error in found)
        except ValueError as error:  # nested too deep to be looked at
            return _short(str(error))


def _told(error: jsonschema_rs.ValidationError) -> str:
    place = _pointer(error.instance_path)
    return f"{_short(error.message)} (at {place})" if place else _short(error.message)


def _short(text: str) -> str:
    text = text.partition("\n")[0]
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


def _pointer(path: Sequence[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"a schema may not refer to {uri}")
