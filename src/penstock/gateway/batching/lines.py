"""The lines of a batch's file: each is a request, and all are checked before the first is made."""

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Raw

from penstock.gateway.batching.threads import Threads
from penstock.gateway.fields import read_chat, read_completion
from penstock.ground.errors import RequestError
from penstock.registry.batches.contents import told

ENDPOINTS = ("/v1/chat/completions", "/v1/completions")
_PIECE = 64 * 1024
"""Bytes of lines that are looked at before others have their turn."""
_MOST_PROBLEMS = 100
_MOST_ID = 512
_MOST_TOLD = 500
_MOST_BLANK = 10_000
_ENVELOPE = 4096
"""Bytes of a line beside the body of its request."""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    custom_id: str
    method: str
    url: str
    body: Raw


_lines = msgspec.json.Decoder(_Line)


class Line(NamedTuple):
    """One request: its number in the file from 1, and the JSON of its body."""

    number: int
    custom_id: str
    body: bytes


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a line, in OpenAI's form."""

    code: str
    line: int | None
    message: str
    param: str | None


class Rules(NamedTuple):
    """What a file must keep to."""

    endpoint: str
    max_lines: int
    max_body_bytes: int
    knows: Callable[[str], bool]
    """Whether there is such a model for this key."""


class Checked(NamedTuple):
    """How many lines there are, and what is wrong with them."""

    total: int
    problems: list[Problem]


def lines_in(place: Path, max_body_bytes: int) -> Generator[tuple[int, bytes], None, None]:
    """Yield number and bytes of each line that is not blank.

    One that is too long is cut: it is refused all the same, and takes no room. Where blank ones
    have no end, they count: a hundred million of them would take all the time there is.

    Raises:
        StoreUnavailable: the file cannot be read.
    """
    most, number, blank = max_body_bytes + _ENVELOPE, 0, 0
    with told(), place.open("rb") as file:
        while data := file.readline(most + 1):
            number += 1
            is_blank = not data.strip()
            blank += is_blank
            if not is_blank or blank > _MOST_BLANK:
                yield number, data
            while not data.endswith(b"\n") and (data := file.readline(most + 1)):
                pass


def some_of(lines: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return the next lines, about 64 KiB; called in a thread."""
    found, size = [], 0
    for number, data in lines:
        found.append((number, data))
        size += len(data)
        if size >= _PIECE:
            break
    return found


async def check(place: Path, rules: Rules, threads: Threads) -> Checked:
    """Return what there is, and what is wrong with it, a hundred problems at most."""
    checker = _Checker(rules)
    with closing(lines_in(place, rules.max_body_bytes)) as lines:
        while some := await threads.do(some_of, lines):
            if not all(checker.takes(number, data) for number, data in some):
                break
    if not checker.total:
        checker.note("empty_file", None, "the file has no lines")
    return Checked(checker.total, checker.problems)


class _Checker:
    def __init__(self, rules: Rules) -> None:
        self._rules, self._seen = rules, set[bytes]()
        self.problems: list[Problem] = []
        self.total = 0

    def note(self, code: str, line: int | None, message: str, param: str = "") -> None:
        self.problems.append(Problem(code, line, message[:_MOST_TOLD], param or None))

    def takes(self, number: int, data: bytes) -> bool:
        """Look at a line; returns whether it is worth looking at more."""
        self.total += 1
        if self.total > self._rules.max_lines:
            told = f"a batch may have {self._rules.max_lines} lines"
            self.note("too_many_lines", None, told)
            return False
        try:
            line = _read(data, self._rules)
            name = hashlib.blake2b(line.custom_id.encode(), digest_size=16).digest()
            if name in self._seen:
                raise RequestError(
                    "`custom_id` is used twice", param="custom_id", code="duplicate_custom_id"
                )
            self._seen.add(name)
        except RequestError as error:
            self.note(error.code, number, str(error), error.param)
        return len(self.problems) < _MOST_PROBLEMS


def names_in(place: Path, max_body_bytes: int) -> Iterator[tuple[int, str]]:
    """Yield number and custom id of each line of a file that was checked before."""
    for number, data in lines_in(place, max_body_bytes):
        yield number, _lines.decode(data).custom_id


def line_of(number: int, data: bytes) -> Line:
    """Return a line that was checked before."""
    line = _lines.decode(data)
    return Line(number, line.custom_id, bytes(line.body))


def model_of(line: Line, endpoint: str) -> str:
    """Return which model a line that was checked before asks for."""
    read = read_chat if endpoint == ENDPOINTS[0] else read_completion
    return read(line.body).model


def _read(data: bytes, rules: Rules) -> _Line:
    if len(data) > rules.max_body_bytes + _ENVELOPE:
        raise RequestError("the line is too long", code="line_too_long")
    try:
        data.decode()
        line = _lines.decode(data)
    except UnicodeDecodeError as error:
        raise RequestError(
            "the line is not UTF-8", why=error.reason, code="invalid_json"
        ) from None
    except msgspec.ValidationError as error:
        raise RequestError("the line is wrong", why=str(error), code="invalid_line") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestError("the line is not JSON", why=str(error), code="invalid_json") from None
    if not 1 <= len(line.custom_id) <= _MOST_ID:
        why = f"it must have 1 to {_MOST_ID} characters"
        raise RequestError(
            "`custom_id` is wrong", why=why, param="custom_id", code="invalid_value"
        )
    if line.method != "POST":
        raise RequestError("`method` must be POST", param="method", code="invalid_method")
    if line.url != rules.endpoint:
        why = f"the batch is for {rules.endpoint}"
        raise RequestError("`url` is another one", why=why, param="url", code="invalid_url")
    _check_body(bytes(line.body), rules)
    return line


def _check_body(body: bytes, rules: Rules) -> None:
    if len(body) > rules.max_body_bytes:
        raise RequestError("the body is too long", param="body", code="line_too_long")
    request = read_chat(body) if rules.endpoint == ENDPOINTS[0] else read_completion(body)
    if request.stream:
        raise RequestError(
            "`stream` is not for batches", param="stream", code="unsupported_parameter"
        )
    if not rules.knows(request.model):
        raise RequestError(
            f"there is no model {request.model[:200]!r} for this key",
            param="model",
            code="model_not_found",
        )
