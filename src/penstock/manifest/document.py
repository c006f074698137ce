"""A YAML file as plain data, with the line and column of everything in it.

PyYAML reads the text; what differs from its defaults is decided here. Plain scalars follow YAML
1.2's core schema less octal and hexadecimal, so that `no`, `on` and `12:30` are strings, as they
look. Keys are text as written. Tags, merge keys and several documents in a file are refused.
Text, depth, aliases and the number of values are bounded, so that a hostile file costs as little
as a friendly one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as File
from types import MappingProxyType
from typing import Any

import yaml

from penstock.ground.errors import ManifestError
from penstock.manifest.fields import Path
from penstock.manifest.problems import Problem, Spot

MAX_BYTES = 262_144
MAX_DEPTH = 16
MAX_ALIASES = 50
MAX_VALUES = 10_000

_NUMBER = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader without its guesses about what a plain scalar means."""

    yaml_implicit_resolvers: Any = MappingProxyType({})


@dataclass(slots=True)
class Document:
    """A file's `data` (mappings, tuples and scalars), where each part stands, and its problems.

    `keys` holds the spot of each key, `values` that of each value, by path; None stands for a
    value that is not from the file. Data is what could be read in spite of the problems.
    """

    data: Any = None
    keys: dict[Path, Spot] = field(default_factory=dict)
    values: dict[Path, Spot | None] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def spot(self, path: Path) -> Spot | None:
        """Where the value of `path` stands, or else the nearest part above it."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Spot(1, 1))


def read_text(file: File) -> str:
    """The text of `file`.

    Raises:
        ManifestError: it is missing, no file, unreadable, too large or not UTF-8.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ManifestError(
            f"{file} does not exist", fix="`penstock init` writes a commented one."
        ) from error
    except IsADirectoryError as error:
        raise ManifestError(
            f"{file} is a folder", fix=f"Name the file in it: {file / 'penstock.yaml'}"
        ) from error
    except OSError as error:
        raise ManifestError(f"{file} cannot be read", why=error.strerror or str(error)) from error
    if len(content) > MAX_BYTES:
        raise ManifestError(f"{file} is larger than {MAX_BYTES // 1024} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ManifestError(
            f"{file}:{line}: byte 0x{content[error.start]:02x} is not UTF-8",
            fix="Save the file as UTF-8.",
        ) from error


def parse(text: str) -> Document:
    """Read `text`; what is wrong with it as YAML stands in the document's `problems`."""
    document = Document()
    try:
        fault = _find_fault(text)
        root = None if fault else yaml.compose(text, Loader=PlainLoader)
    except yaml.YAMLError as error:
        fault, root = _syntax_problem(error, text), None
    if fault:
        document.problems.append(fault)
    if root:
        _Reader(document).read(root)
    return document


def _find_fault(text: str) -> Problem | None:
    """The first thing that valid YAML may hold and this file may not."""
    depth = aliases = documents = 0
    for event in yaml.parse(text, Loader=PlainLoader):
        spot = Spot.of(event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > MAX_DEPTH:
            return Problem(spot, f"more than {MAX_DEPTH} levels of nesting")
        if aliases > MAX_ALIASES:
            return Problem(spot, f"more than {MAX_ALIASES} aliases", fix="Write the values out.")
        if documents > 1:
            return Problem(spot, "a second document starts here", fix="Keep one a file.")
        if tag := getattr(event, "tag", None):
            short = tag.replace("tag:yaml.org,2002:", "!!")
            return Problem(spot, f"the tag {short} means nothing here", fix="Remove it.")
    return None


def _syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: int(error.position)]
        spot = Spot(before.count("\n") + 1, len(before) - before.rfind("\n"))
        return Problem(
            spot, f"the character U+{ord(text[error.position]):04X} is not allowed", "Remove it."
        )
    assert isinstance(error, yaml.MarkedYAMLError)  # noqa: S101  PyYAML raises no other kind
    mark = error.problem_mark or error.context_mark
    said = (error.problem or "not YAML").replace("'\\t'", "a tab")
    what, fix = f"not valid YAML: {said}", ""
    if "a tab" in said:
        what, fix = "not valid YAML: a tab stands here", "Indent with spaces."
    elif said == "mapping values are not allowed here":
        what = "not valid YAML: ':' in a value, none in the line above, or a wrong indent"
        fix = 'Quote a value that holds ": ", or align the line with its neighbours.'
    elif said.startswith("could not find expected ':'"):
        what, fix = "not valid YAML: a key without ':'", "Write `key: value`."
    elif "stream end" in said or "end of stream" in said:
        what = "not valid YAML: the file ends inside a list, mapping or string"
        fix = "Close the bracket or quote."
    elif said.startswith("found undefined alias"):
        fix = "Quote a value that starts with '*'."
    return Problem(Spot.of(mark), what, fix=fix)


class _Reader:
    """Turns nodes into data; aliases are expanded within a budget of values."""

    def __init__(self, document: Document) -> None:
        self.document, self.seen = document, 0

    def read(self, root: yaml.Node) -> None:
        try:
            self.document.data = self._value(root, ())
        except _TooMuch:
            what = f"more than {MAX_VALUES} values, counting those that aliases repeat"
            self.document.problems.append(Problem(Spot.of(root.start_mark), what))

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self.seen += 1
        if self.seen > MAX_VALUES or len(path) > MAX_DEPTH:
            raise _TooMuch
        self.document.values[path] = Spot.of(node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return dict(self._entries(node, path))
        if isinstance(node, yaml.SequenceNode):
            return tuple(self._value(item, (*path, i)) for i, item in enumerate(node.value))
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101  YAML has no fourth kind
        return _scalar(node)

    def _entries(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        first: dict[str, Spot] = {}
        for key_node, value_node in node.value:
            spot = Spot.of(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(spot, "a key must be plain text", "Write `key: value`.")
                continue
            key = key_node.value
            if key == "<<" and key_node.style is None:
                self._complain(spot, "merge keys are not read", "Write the values out.")
            elif key in first:
                self._complain(spot, f"'{key}' is given twice (first: line {first[key].line})")
            else:
                first[key] = self.document.keys[(*path, key)] = spot
                yield key, self._value(value_node, (*path, key))

    def _complain(self, spot: Spot, what: str, fix: str = "Remove one of them.") -> None:
        self.document.problems.append(Problem(spot, what, fix=fix))


class _TooMuch(Exception):
    """The budget of values is spent."""


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    """The value of a scalar by YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema)."""
    text: str = node.value
    if node.style is not None:
        return text
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text.lower() in ("true", "false") and text in (text.lower(), text.title(), text.upper()):
        return text.lower() == "true"
    if _NUMBER.fullmatch(text):
        return int(text) if len(text) < 20 else float(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text
