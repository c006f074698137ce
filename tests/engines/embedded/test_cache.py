"""The cache is fitted to its budget and its rows can be moved."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from penstock.engines.embedded.cache import Cache, Room, plan_room
from penstock.engines.embedded.shape import Shape, read_shape
from penstock.ground.errors import UserError


@pytest.fixture
def shape(folder: Path) -> Shape:
    return read_shape(folder)


def test_the_budget_is_shared_between_rows_and_context(shape: Shape) -> None:
    token = shape.kv_bytes_per_token
    assert token == 2 * 4 * 3 * 2 * 12

    def plan(tokens: int, length: int | None = None) -> Room:
        return plan_room(shape, max_length=length, max_rows=8, budget_bytes=tokens * token)

    assert plan(8 * 256) == Room(8, 256)
    assert plan(3 * 256 + 5) == Room(3, 256)
    assert plan(100) == Room(1, 100)
    long = replace(shape, max_positions=32_768)
    assert plan_room(long, max_length=None, max_rows=32, budget_bytes=24_000 * token) == Room(
        8, 3000
    )
    assert plan_room(long, max_length=None, max_rows=32, budget_bytes=5_000 * token) == Room(
        2, 2048
    )
    assert plan(100, length=25) == Room(4, 25)
    with pytest.raises(UserError, match="--max-model-len to 100"):
        plan(100, length=101)
    with pytest.raises(UserError, match=r"config.json says 256"):
        plan(10_000, length=257)


def test_moving_a_row_copies_its_tokens(shape: Shape) -> None:
    cache = Cache(shape, Room(rows=3, length=16))
    cache.keys[:, 2], cache.values[:, 2] = 2.0, 3.0
    cache.move(2, 0, 5)
    assert np.all(cache.keys[:, 0, :, :5] == 2.0)
    assert np.all(cache.values[:, 0, :, :5] == 3.0)
    assert not cache.keys[:, 0, :, 5:].any()
