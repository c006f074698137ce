"""The letter pieces of a tokenizer's vocabulary, read without a tokenizer library."""

import json
from pathlib import Path

LONGEST_PIECE = 6


def pick_pieces(vocabulary: dict[str, int]) -> tuple[str, ...]:
    """The pure letter pieces, to build names from that use all of the vocabulary."""
    return tuple(
        sorted(p for p in vocabulary if p.isascii() and p.isalpha() and len(p) <= LONGEST_PIECE)
    )


def letter_pieces(tokenizer_json: Path) -> tuple[str, ...]:
    """The letter pieces of the vocabulary in a `tokenizer.json`."""
    content = json.loads(tokenizer_json.read_text(encoding="utf-8"))
    return pick_pieces(content["model"]["vocab"])
