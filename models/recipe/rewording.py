"""More ways to say the same: synonyms, frames and lost words, never one kept for the evaluation.

A dozen wordings a topic are too few: the network learnt those by heart and met others at a loss.
"""

import random
import re

from .inventor import Inventor

SYNONYM_SHARE = 0.3
FRAME_SHARE = 0.12
LOST_WORD_SHARE = 0.1


def reword(rng: random.Random, make: Inventor, text: str) -> str:
    """Another wording of the text, or the text itself when it came out as one kept back."""
    other = text
    for group in make.lexicon.synonyms:
        if rng.random() < SYNONYM_SHARE:
            other = _swap(rng, group, other)
    words = other.split()
    if len(words) > 4 and rng.random() < LOST_WORD_SHARE:
        words.pop(rng.randrange(len(words)))
        other = " ".join(words)
    if rng.random() < FRAME_SHARE:
        other = make.phrasing(rng, "frames").format(x=other)
    return text if other in make.lexicon.kept_wordings else other


def _swap(rng: random.Random, group: tuple[str, ...], text: str) -> str:
    for phrase in group:
        found = re.search(rf"(?<![\w{{]){re.escape(phrase)}(?![\w}}])", text)
        if found:
            return text[: found.start()] + rng.choice(group) + text[found.end() :]
    return text
