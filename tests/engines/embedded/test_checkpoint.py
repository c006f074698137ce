"""Reading safetensors: exact values, and one clear error for every way a file can be wrong."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from tests.engines.embedded.random_models import write_safetensors

from penstock.engines.embedded.checkpoint import Checkpoint, read_json
from penstock.ground.errors import UserError

VALUES = np.array([[1.0, -2.5], [0.0, 3.140625]], dtype=np.float32)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_values_come_back_exactly(tmp_path: Path, dtype: str) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"a": VALUES, "b": VALUES[0]}, dtype)
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.read("a", (2, 2)).tolist() == VALUES.tolist()
    assert checkpoint.read("b", (2,)).dtype == np.float32
    assert set(checkpoint) == {"a", "b"}


def test_shards_are_found_by_their_index(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "one.safetensors", {"a": VALUES})
    write_safetensors(tmp_path / "two.safetensors", {"b": VALUES})
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert Checkpoint.open(tmp_path).read("b", (2, 2)).tolist() == VALUES.tolist()


def test_what_was_read_can_be_changed(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"a": VALUES})
    checkpoint = Checkpoint.open(tmp_path)
    checkpoint.read("a", (2, 2))[:] = 0
    assert checkpoint.read("a", (2, 2)).tolist() == VALUES.tolist()


def with_header(header: object, data: bytes = b"\0" * 16) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(
    dtype: str = "F32", shape: tuple[int, ...] = (4,), begin: int = 0, end: int = 16
) -> object:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cannot read"),
        (b"abc", "is damaged"),
        (struct.pack("<Q", 2**60) + b"{}", "is damaged"),
        (struct.pack("<Q", 2) + b"{x", "is damaged"),
        (with_header([1, 2]), "is damaged"),
        (with_header({"a": {"dtype": "F32"}}), "is damaged"),
        (with_header(entry(end=17)), "is damaged"),
        (with_header(entry(begin=-4, end=12)), "is damaged"),
        (with_header(entry(shape=(5,))), "is damaged"),
        (with_header(entry(shape=(4,)), data=b"\0" * 8), "is damaged"),
        (with_header(entry(dtype="F8_E4M3")), "F32, F16 and BF16 only"),
    ],
)
def test_a_wrong_file_is_one_clear_error(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        Checkpoint.open(tmp_path)


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no weights"):
        Checkpoint.open(tmp_path)
    write_safetensors(tmp_path / "model.safetensors", {"a": VALUES})
    checkpoint = Checkpoint.open(tmp_path)
    with pytest.raises(UserError, match="no tensor b"):
        checkpoint.read("b", (2,))
    with pytest.raises(UserError, match=r"shape \[2, 2\].*implies \[3\]"):
        checkpoint.read("a", (3,))


def test_json_files_must_be_objects(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UserError, match="not a JSON object"):
        read_json(tmp_path / "config.json")
