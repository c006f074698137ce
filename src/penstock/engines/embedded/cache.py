"""Keys and values of the running sequences, one row each, the rows always dense.

Rows 0..n-1 are in use and nothing else, so that one batched product over `keys[layer][:n]` is a
view and copies nothing. When a sequence ends in the middle, the last row moves into the gap: one
copy of a few hundred tokens now and then, instead of a gather in every layer of every step.

The arrays are reserved whole, but a page costs memory only once it is written. That needs small
pages: with the huge ones that NumPy asks for, every head of every row would cost its full length.
"""

import math
import mmap
from dataclasses import dataclass

import numpy as np

from penstock.engines.embedded.checkpoint import Floats
from penstock.engines.embedded.shape import Shape
from penstock.ground.errors import UserError

USUAL_ROWS, USUAL_LENGTH = 8, 2048
"""Answers computed together, and their tokens, that a cache without other wishes has room for."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much the cache holds: `rows` sequences of up to `length` tokens."""

    rows: int
    length: int


def plan_room(shape: Shape, *, max_length: int | None, max_rows: int, budget_bytes: int) -> Room:
    """Fit the cache into `budget_bytes`.

    A `max_length` that is asked for is kept and costs rows; without one the context is what the
    model can take, shortened so that `USUAL_ROWS` answers fit, but not below `USUAL_LENGTH`.

    Raises:
        UserError: the model, or the budget, has no room for the `max_length` that was asked for.
    """
    if max_length is not None and max_length > shape.max_positions:
        raise UserError(
            f"a context of {max_length} tokens is more than the model can take",
            why=f"its config.json says {shape.max_positions}",
            fix="Lower --max-model-len.",
        )
    affordable = budget_bytes // shape.kv_bytes_per_token
    usual = min(max(affordable // USUAL_ROWS, USUAL_LENGTH), affordable)
    length = max_length or min(shape.max_positions, max(usual, 1))
    if length > affordable:
        raise UserError(
            f"a context of {length} tokens does not fit the cache",
            why=f"it needs {length * shape.kv_bytes_per_token} bytes, there are {budget_bytes}",
            fix=f"Set --max-model-len to {affordable} or less, or raise --kv-cache-memory-bytes.",
        )
    return Room(rows=max(1, min(max_rows, affordable // length)), length=length)


class Cache:
    """The arrays: `keys` and `values`, each [layers, rows, kv_heads, length, head_dim]."""

    def __init__(self, shape: Shape, room: Room) -> None:
        self.room = room
        size = (shape.layers, room.rows, shape.kv_heads, room.length, shape.head_dim)
        self.keys, self.values = _reserve(size), _reserve(size)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of row `source` over row `target`."""
        for array in (self.keys, self.values):
            array[:, target, :, :length] = array[:, source, :, :length]


def _reserve(size: tuple[int, ...]) -> Floats:
    """Return an array of zeros that takes memory page by page as it is written."""
    pages = mmap.mmap(-1, 4 * math.prod(size))
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, dtype=np.float32).reshape(size)
