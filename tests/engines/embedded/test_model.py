"""The network agrees with transformers, whatever the steps its tokens are computed in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.embedded.conftest import Reference
from tests.engines.embedded.random_models import write_model

from penstock.engines.embedded.batch import Piece, lay_out
from penstock.engines.embedded.cache import Cache, Room
from penstock.engines.embedded.checkpoint import Floats
from penstock.engines.embedded.lora import Adapter, read_adapter
from penstock.engines.embedded.model import Transformer

TOLERANCE = 1e-4
LENGTH = 40

QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def family(name: str, **config: Any) -> dict[str, Any]:
    return {"architectures": [f"{name}ForCausalLM"], "model_type": name.lower(), **config}


CASES: dict[str, dict[str, Any]] = {
    "llama": {"config": family("Llama", tie_word_embeddings=True), "dtype": "BF16"},
    "llama-3.1": {
        "config": family(
            "Llama", rope_scaling=LLAMA3, attention_bias=True, mlp_bias=True, head_dim=16
        ),
        "biased": (*QKV, "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    },
    "llama-linear": {
        "config": family(
            "Llama", rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 5000.0}
        ),
        "dtype": "F16",
    },
    "mistral": {"config": family("Mistral", sliding_window=None), "shards": 3},
    "mistral-window": {"config": family("Mistral", sliding_window=8)},
    "qwen2": {"config": family("Qwen2", tie_word_embeddings=True), "biased": QKV},
    "qwen2-window": {
        "config": family("Qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1),
        "biased": QKV,
    },
    "qwen3": {"config": family("Qwen3", head_dim=24)},
}


@pytest.fixture(scope="module")
def ids() -> list[int]:
    drawn: list[int] = np.random.default_rng(3).integers(0, 320, LENGTH).tolist()
    return drawn


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory,
    reference: Reference,
    folder: Path,
    adapters: dict[str, Path],
    ids: list[int],
) -> dict[str, tuple[Path, Floats]]:
    """Folders and transformers' logits by case; one process computes them all."""
    root = tmp_path_factory.mktemp("families")
    folders = {name: write_model(root / name, **case) for name, case in CASES.items()}
    jobs = [{"model": str(path), "logits": f"{root}/{name}"} for name, path in folders.items()]
    for name, adapter in adapters.items():
        jobs.append({"model": str(folder), "adapter": str(adapter), "logits": f"{root}/{name}"})
    jobs.append({"model": str(folder), "logits": f"{root}/base"})
    reference([{**job, "ids": ids, "logits": job["logits"] + ".npy"} for job in jobs])
    folders |= dict.fromkeys([*adapters, "base"], folder)
    return {name: (path, np.load(f"{root}/{name}.npy")) for name, path in folders.items()}


@pytest.mark.parametrize("case", CASES)
def test_logits_equal_those_of_transformers(
    case: str, expected: dict[str, tuple[Path, Floats]], ids: list[int]
) -> None:
    path, wanted = expected[case]
    model = Transformer(path, positions=64)
    cache = Cache(model.shape, Room(rows=1, length=64))

    def last_logits(piece: Piece, *, decoding: bool) -> Floats:
        batch = lay_out([piece] if decoding else [], [] if decoding else [piece], model.windows)
        logits: Floats = model.forward(batch, cache)[0]
        return logits

    got = {6: last_logits(Piece(0, 0, ids[:7]), decoding=False)}
    got[19] = last_logits(Piece(0, 7, ids[7:20]), decoding=False)
    for at in range(20, LENGTH):
        got[at] = last_logits(Piece(0, at, [ids[at]]), decoding=True)
    for at, logits in got.items():
        assert np.abs(logits - wanted[at]).max() < TOLERANCE, f"position {at}"


def test_a_mixed_batch_applies_to_each_row_its_own_adapter(
    expected: dict[str, tuple[Path, Floats]],
    folder: Path,
    adapters: dict[str, Path],
    ids: list[int],
) -> None:
    model = Transformer(folder, positions=64)
    cache = Cache(model.shape, Room(rows=8, length=64))
    loaded: dict[str, Adapter | None] = {
        name: read_adapter(name, path, model.shape) for name, path in adapters.items()
    }
    rows = ["base", "attention", "everything", "base", "everything", "attention"]
    lengths = [5, 12, 20, 20, 7, 30]
    loaded["base"] = None
    pieces = [
        Piece(row, 0, ids[:length], loaded[name])
        for row, (name, length) in enumerate(zip(rows, lengths, strict=True))
    ]
    logits = model.forward(lay_out([], pieces, model.windows), cache)
    check(rows, lengths, logits, expected)
    # Then one token for each, together with the prompt of a newcomer.
    decoding = [
        Piece(row, length, [ids[length]], loaded[name])
        for row, (name, length) in enumerate(zip(rows, lengths, strict=True))
    ]
    newcomer = Piece(6, 0, ids[:9], loaded["everything"])
    logits = model.forward(lay_out(decoding, [newcomer], model.windows), cache)
    check([*rows, "everything"], [*[n + 1 for n in lengths], 9], logits, expected)


def check(
    rows: list[str],
    lengths: list[int],
    logits: Floats,
    expected: dict[str, tuple[Path, Floats]],
) -> None:
    for name, length, got in zip(rows, lengths, logits, strict=True):
        assert np.abs(got - expected[name][1][length - 1]).max() < TOLERANCE, (name, length)


def test_rows_of_very_different_length_are_attended_apart(folder: Path, ids: list[int]) -> None:
    """One long answer must not make every short one pay for its length, nor change it."""
    model = Transformer(folder, positions=256)
    long = (ids * 6)[:200]
    starts = [len(long), *range(3, 25)]
    cache = Cache(model.shape, Room(rows=len(starts), length=256))
    prompts = [Piece(row, 0, long[:n]) for row, n in enumerate(starts)]
    model.forward(lay_out([], prompts, model.windows), cache)
    pieces = [Piece(row, n, [ids[row]]) for row, n in enumerate(starts)]
    batch = lay_out(pieces, [], model.windows)
    assert len(batch.rows) > 1
    together = model.forward(batch, cache)
    for piece, logits in zip(pieces, together, strict=True):
        alone = Cache(model.shape, Room(rows=1, length=256))
        model.forward(lay_out([], [Piece(0, 0, long[: piece.start])], model.windows), alone)
        apart = model.forward(
            lay_out([Piece(0, piece.start, piece.tokens)], [], model.windows), alone
        )
        assert np.abs(logits - apart[0]).max() < 1e-5
