"""One step's work as arrays: which tokens are computed, for which rows, under which adapters.

The tokens of a step lie flat, one after another: first one token for each decoding row (rows
0..n-1, in order), then the prompt pieces that are prefilled. The linear layers see only the flat
tokens; attention sees `Span`s: decoding rows of similar length computed together, padded to the
longest, and prompt pieces computed one by one.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from penstock.engines.embedded.checkpoint import Floats
from penstock.engines.embedded.lora import Adapter

Indices = NDArray[np.int64]

PADDING_TOLERATED = 1024
"""Padded tokens above which a group of rows is split: about what one more span costs."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens of one row that are computed in this step, starting at position `start`."""

    row: int
    start: int
    tokens: list[int]
    adapter: Adapter | None = None

    @property
    def stop(self) -> int:
        """The row's length after this step."""
        return self.start + len(self.tokens)


@dataclass(frozen=True, slots=True)
class Rows:
    """Decoding rows `start..stop`, attended together over `longest` tokens.

    `masks` maps a window to what is added to the scores, [rows, 1, 1, longest]; none where all
    of it is visible.
    """

    start: int
    stop: int
    longest: int
    masks: dict[int | None, Floats | None]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A prompt piece: flat tokens `start..stop` of row `row`, at positions up to `length`.

    `masks` maps a window to what is added to the scores, [tokens, length].
    """

    row: int
    start: int
    stop: int
    length: int
    masks: dict[int | None, Floats]


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's work. `last` are the flat indices whose logits are wanted, one a piece."""

    tokens: Indices
    positions: Indices
    decoding: int
    rows: list[Rows]
    chunks: list[Chunk]
    last: Indices
    adapters: list[tuple[Adapter, Indices]] = field(default_factory=list)


def lay_out(decoding: list[Piece], prompts: list[Piece], windows: set[int | None]) -> Batch:
    """Arrange a step: `decoding` are rows 0..n-1 in order with one token each."""
    pieces = decoding + prompts
    chunks, at = [], len(decoding)
    for piece in prompts:
        end = at + len(piece.tokens)
        masks = {window: _chunk_mask(piece, window) for window in windows}
        chunks.append(Chunk(piece.row, at, end, piece.stop, masks))
        at = end
    sizes = [len(piece.tokens) for piece in pieces]
    return Batch(
        tokens=np.array([token for piece in pieces for token in piece.tokens], dtype=np.int64),
        positions=np.concatenate([np.arange(piece.start, piece.stop) for piece in prompts])
        if not decoding
        else np.array(
            [p.start for p in decoding] + [n for p in prompts for n in range(p.start, p.stop)]
        ),
        decoding=len(decoding),
        rows=_group(np.array([piece.stop for piece in decoding]), windows) if decoding else [],
        chunks=chunks,
        last=np.cumsum(sizes) - 1,
        adapters=_by_adapter(pieces),
    )


def _group(lengths: Indices, windows: set[int | None], start: int = 0) -> list[Rows]:
    """Halve the rows until the padding of each group is small."""
    count, longest = len(lengths), int(lengths.max())
    padding = count * longest - int(lengths.sum())
    if count > 1 and padding > PADDING_TOLERATED + count * longest // 2:
        half = count // 2
        return _group(lengths[:half], windows, start) + _group(
            lengths[half:], windows, start + half
        )
    masks = {window: _rows_mask(lengths, longest, window) for window in windows}
    return [Rows(start, start + count, longest, masks)]


def _rows_mask(lengths: Indices, longest: int, window: int | None) -> Floats | None:
    keys = np.arange(longest)
    hidden = keys >= lengths[:, None]
    if window is not None:
        hidden |= keys < lengths[:, None] - window
    return _as_bias(hidden)[:, None, None] if hidden.any() else None


def _chunk_mask(piece: Piece, window: int | None) -> Floats:
    keys, queries = np.arange(piece.stop), np.arange(piece.start, piece.stop)[:, None]
    hidden = keys > queries
    if window is not None:
        hidden |= keys <= queries - window
    return _as_bias(hidden)


def _as_bias(hidden: NDArray[np.bool_]) -> Floats:
    return np.where(hidden, np.float32(-np.inf), np.float32(0))


def _by_adapter(pieces: list[Piece]) -> list[tuple[Adapter, Indices]]:
    flat: dict[Adapter, list[int]] = {}
    at = 0
    for piece in pieces:
        end = at + len(piece.tokens)
        if piece.adapter is not None:
            flat.setdefault(piece.adapter, []).extend(range(at, end))
        at = end
    return [(adapter, np.array(indices)) for adapter, indices in flat.items()]
