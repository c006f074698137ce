"""Made-up names, queries and codes: as many as wanted, and none that the other side could make."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from .lexicon import Lexicon, Words


@dataclass(frozen=True)
class Inventor:
    """Makes up names and phrases for one side; the other side can never make the same one."""

    lexicon: Lexicon
    words: Words
    pieces: tuple[str, ...]

    def phrasing(self, rng: random.Random, section: str) -> str:
        """One of the section's phrasings; the evaluation draws half of them from its own."""
        phrases = self.lexicon.phrases
        own = f"{section} (held out)"
        if self.words.held_out and own in phrases and rng.random() < 0.5:
            return rng.choice(phrases[own])
        return rng.choice(phrases[section])

    def city(self, rng: random.Random) -> str:
        """A real city two times in five, else a made-up place of one to three words."""
        if rng.random() < 0.4:
            return rng.choice(self.words.cities)
        return self._invent(rng, _place)

    def name(self, rng: random.Random) -> str:
        """A person or another proper name."""
        if rng.random() < 0.3:
            return rng.choice(self.words.people)
        return self._invent(rng, _place)

    def query(self, rng: random.Random) -> str:
        """Words to search a catalogue for."""
        if rng.random() < 0.45:
            phrase = rng.choice(self.words.products)
            dress = rng.random()
            if dress < 0.3:
                phrase = plural(phrase)
            if dress > 0.75 and not self.words.held_out:
                phrase = f"{self.phrasing(rng, 'adjectives')} {phrase}"
            return phrase
        return self._invent(rng, _phrase)

    def identifier(self, rng: random.Random) -> str:
        """A code such as `AB-1042`, an e-mail address, a date or a word."""
        return self._invent(rng, _identifier)

    def word(self, rng: random.Random) -> str:
        """A made-up lower-case word."""
        return self._invent(rng, _word)

    def _invent(self, rng: random.Random, make: "Maker") -> str:
        while True:
            text = make(rng, self)
            if self.lexicon.is_held_out(text) == self.words.held_out:
                return text


OPENINGS = ("New", "San", "Santa", "Saint", "Port", "Fort", "El", "La", "Los", "Mount", "Lake")
CLOSINGS = ("City", "Falls", "Springs", "Beach", "Island", "Bay", "Hills", "del Sur", "Nord")
LINKS = ("de", "am", "of", "la", "es")
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ACCENTS = str.maketrans("aeioun", "áéíóúñ")
ACCENTS_TOO = str.maketrans("aeiouc", "ãèîöüç")


def plural(phrase: str) -> str:
    """A plain English plural: lamps, boxes, batteries."""
    if phrase.endswith(("s", "x", "sh", "ch")):
        return phrase if phrase.endswith("s") else phrase + "es"
    if phrase.endswith("y") and phrase[-2:-1] not in "aeiou":
        return phrase[:-1] + "ies"
    return phrase + "s"


def _word(rng: random.Random, make: Inventor) -> str:
    """A made-up lower-case word: vocabulary pieces, syllables or a mix of the two."""
    kind, syllables = rng.random(), make.lexicon.phrases["syllables"]
    if kind < 0.45 and make.pieces:
        return "".join(rng.choice(make.pieces) for _ in range(rng.randint(1, 3))).lower()
    if kind < 0.85:
        word = "".join(rng.choice(syllables) for _ in range(rng.randint(1, 4)))
        return word + rng.choice(("", "", "", "s", "n", "k", "a", "t"))
    if kind < 0.95:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 8)))
    return "".join(rng.choice(syllables) for _ in range(2)) * 2


def _place(rng: random.Random, make: Inventor) -> str:
    first, second, third = (_word(rng, make).capitalize() for _ in range(3))
    if rng.random() < 0.08:
        first = first.translate(rng.choice((ACCENTS, ACCENTS_TOO)))
    forms = {
        first: 62,
        f"{rng.choice(OPENINGS)} {first}": 8,
        f"{first} {rng.choice(CLOSINGS)}": 5,
        f"{first} {second}": 11,
        f"{first}, {second}": 5,
        f"{first}-{second}": 4,
        f"{first} {rng.choice(LINKS)} {second}": 2,
        f"{first} {second} {third}": 3,
    }
    return rng.choices(tuple(forms), tuple(forms.values()))[0]


def _phrase(rng: random.Random, make: Inventor) -> str:
    words = [_word(rng, make) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    if rng.random() < 0.2:
        words[0] = make.phrasing(rng, "adjectives")
    if rng.random() < 0.1:
        words.append(str(rng.randint(1, 999)))
    if rng.random() < 0.15:
        words = [word.capitalize() for word in words]
    return " ".join(words)


def _identifier(rng: random.Random, make: Inventor) -> str:
    form = rng.random()
    if form < 0.3:
        letters = "".join(rng.choice(CAPITALS) for _ in range(rng.randint(1, 3)))
        return f"{letters}-{rng.randint(10, 99999)}"
    if form < 0.5:
        return f"{_word(rng, make)}@{_word(rng, make)}.com"
    if form < 0.65:
        return f"20{rng.randint(10, 39)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return _word(rng, make)


Maker = Callable[[random.Random, Inventor], str]
