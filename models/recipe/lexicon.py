"""The word lists of the recipe, and which strings belong to the evaluation alone.

Real words are held out by file (`held_out_*.txt`); made-up strings by a checksum, so that training
and evaluation can both invent as many as they like and never meet.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
HELD_OUT_SHARE = 10


@dataclass(frozen=True)
class Topic:
    """One answer, the ways to ask for it in training, and the ways kept for the evaluation."""

    answer: str
    training: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class Words:
    """The lists that one side (training or evaluation) may draw from."""

    cities: tuple[str, ...]
    products: tuple[str, ...]
    people: tuple[str, ...]
    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    params: tuple[str, ...]
    held_out: bool


@dataclass(frozen=True)
class Lexicon:
    """Everything that the recipe reads from `models/data`."""

    training: Words
    held_out: Words
    faq: tuple[Topic, ...]
    small_talk: tuple[Topic, ...]
    unknown: tuple[Topic, ...]
    phrases: Mapping[str, tuple[str, ...]]
    synonyms: tuple[tuple[str, ...], ...]
    kept_wordings: frozenset[str] = field(repr=False)
    reserved: frozenset[str] = field(repr=False)

    def is_held_out(self, text: str) -> bool:
        """Whether a made-up string belongs to the evaluation (case does not matter)."""
        low = text.lower()
        return self._names_reserved(low) or zlib.crc32(low.encode()) % HELD_OUT_SHARE == 0

    def _names_reserved(self, low: str) -> bool:
        words = re.findall(r"[^\W_]+", low)
        runs = (words[i : i + n] for n in (1, 2, 3) for i in range(len(words)))
        return low in self.reserved or any(" ".join(run) in self.reserved for run in runs)


def load_lexicon() -> Lexicon:
    """Read the lists and topics of `models/data`."""
    words = dict(line.split(":", 1) for line in _lines("words.txt"))
    held_out = Words(
        cities=_lines("held_out_cities.txt"),
        products=_lines("held_out_products.txt"),
        people=_lines("held_out_people.txt"),
        verbs=tuple(words["held_out_verbs"].split()),
        nouns=tuple(words["held_out_nouns"].split()),
        params=tuple(words["held_out_params"].split()),
        held_out=True,
    )
    training = Words(
        cities=_lines("cities.txt"),
        products=_lines("products.txt"),
        people=_lines("people.txt"),
        verbs=tuple(words["verbs"].split()),
        nouns=tuple(words["nouns"].split()),
        params=tuple(words["params"].split()),
        held_out=False,
    )
    reserved = {w.lower() for w in (*held_out.cities, *held_out.products, *held_out.people)}
    faq, small_talk, unknown = (_topics(f"{kind}.txt") for kind in ("faq", "smalltalk", "unknown"))
    phrases = _sections("phrases.txt")
    return Lexicon(
        training=training,
        held_out=held_out,
        faq=faq,
        small_talk=small_talk,
        unknown=unknown,
        synonyms=tuple(tuple(line.split(" = ")) for line in phrases["synonyms"]),
        kept_wordings=frozenset(w for t in (*faq, *small_talk, *unknown) for w in t.held_out),
        phrases=phrases
        | {kind: tuple(words[kind].split()) for kind in ("adjectives", "syllables")},
        reserved=frozenset(reserved),
    )


def _lines(name: str) -> tuple[str, ...]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def _topics(name: str) -> tuple[Topic, ...]:
    topics: list[Topic] = []
    for line in _lines(name):
        mark, text = line[:2], line[3:]
        if mark == "A:":
            topics.append(Topic(text, (), ()))
        elif mark == "T:":
            topics[-1] = replace(topics[-1], training=(*topics[-1].training, text))
        else:
            topics[-1] = replace(topics[-1], held_out=(*topics[-1].held_out, text))
    return tuple(topics)


def _sections(name: str) -> dict[str, tuple[str, ...]]:
    sections: dict[str, list[str]] = {}
    entries: list[str] = []
    for line in _lines(name):
        if line.startswith("["):
            entries = sections.setdefault(line.strip("[]"), [])
        else:
            entries.append(line)
    return {section: tuple(found) for section, found in sections.items()}
