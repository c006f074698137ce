"""Reads safetensors: one file or an index of shards, mapped and not copied until asked for.

Layout of a file (https://huggingface.co/docs/safetensors): eight bytes with the header's length,
little-endian; the header, JSON, `name -> {dtype, shape, data_offsets}`; then the raw values.
NumPy has no bfloat16: it is the upper half of a float32, so a shift restores it exactly.
"""

import math
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.ground.errors import UserError

Floats = NDArray[np.float32]
"""An array of float32; the shape stands in the docstring of whoever returns it."""

HEADER_LIMIT_BYTES = 100_000_000
"""The format's own ceiling for a header."""

_STORED: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}


class Entry(msgspec.Struct, frozen=True):
    """Where one tensor lies in its file; offsets are bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class Checkpoint:
    """The tensors of one model or adapter folder, by name."""

    def __init__(self, files: list[Path]) -> None:
        self._shards: dict[str, Shard] = {}
        for file in files:
            shard = Shard(file)
            self._shards.update(dict.fromkeys(shard.entries, shard))

    @classmethod
    def open(cls, folder: Path, stem: str = "model") -> "Checkpoint":
        """Map `stem.safetensors`, or the shards that `stem.safetensors.index.json` names.

        Raises:
            UserError: the folder holds neither, or a file is damaged.
        """
        single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
        if single.is_file():
            return cls([single])
        if index.is_file():
            weight_map = read_json(index).get("weight_map", {})
            return cls([folder / name for name in sorted(set(weight_map.values()))])
        raise UserError(
            f"{folder} holds no weights",
            why=f"neither {single.name} nor {index.name} is there",
            fix="Give the folder of a checkpoint in safetensors format.",
        )

    def __contains__(self, name: str) -> bool:
        return name in self._shards

    def __iter__(self) -> Iterator[str]:
        return iter(self._shards)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor that is there."""
        return self._shards[name].entries[name].shape

    def read(self, name: str, shape: tuple[int, ...]) -> Floats:
        """Return a fresh float32 copy of one tensor.

        Raises:
            UserError: it is missing, or its shape is not the one the configuration implies.
        """
        shard = self._shards.get(name)
        if shard is None:
            raise UserError(
                f"the checkpoint has no tensor {name}",
                why="config.json says it should be there",
                fix="Download the checkpoint again, or check `architectures` in config.json.",
            )
        if shard.entries[name].shape != shape:
            raise UserError(
                f"tensor {name} has shape {list(shard.entries[name].shape)}",
                why=f"config.json implies {list(shape)}",
                fix="Use the config.json that belongs to these weights.",
                where=str(shard.file),
            )
        return shard.read(name)


class Shard:
    """One mapped safetensors file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with file.open("rb") as opened:
                self._bytes = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            raise UserError(
                f"cannot read {file}", why=str(error), fix="Download the checkpoint again."
            ) from error
        self.entries = self._read_header()

    def _read_header(self) -> dict[str, Entry]:
        size = len(self._bytes)
        length = int.from_bytes(self._bytes[:8], "little")
        self._start = 8 + length
        if size < 8 or length > HEADER_LIMIT_BYTES or self._start > size:
            raise self._damaged(f"a header of {length} bytes does not fit a file of {size}")
        try:
            header = msgspec.json.decode(self._bytes[8 : self._start], type=dict[str, Any])
            header.pop("__metadata__", None)
            entries = msgspec.convert(header, dict[str, Entry])
        except msgspec.MsgspecError as error:
            raise self._damaged(f"the header cannot be read, {error}") from error
        for name, entry in entries.items():
            self._check(name, entry, size - self._start)
        return entries

    def _check(self, name: str, entry: Entry, available: int) -> None:
        if entry.dtype not in _STORED:
            raise UserError(
                f"tensor {name} is of type {entry.dtype}",
                why="the embedded engine reads F32, F16 and BF16 only",
                fix="Use an unquantised checkpoint, or serve it with vLLM.",
                where=str(self.file),
            )
        begin, end = entry.data_offsets
        needed = math.prod(entry.shape) * _STORED[entry.dtype].itemsize
        if not 0 <= begin <= end <= available or end - begin != needed:
            raise self._damaged(f"tensor {name} needs {needed} bytes at {begin}..{end}")

    def _damaged(self, why: str) -> UserError:
        return UserError(f"{self.file} is damaged", why=why, fix="Download the checkpoint again.")

    def read(self, name: str) -> Floats:
        """Return a fresh float32 copy of one tensor that is in this file."""
        entry = self.entries[name]
        begin, end = (self._start + offset for offset in entry.data_offsets)
        raw = np.frombuffer(self._bytes[begin:end], dtype=_STORED[entry.dtype])
        if entry.dtype == "BF16":
            widened = raw.astype(np.uint32)
            widened <<= np.uint32(16)
            return widened.view(np.float32).reshape(entry.shape)
        values: Floats = raw.astype(np.float32).reshape(entry.shape)
        return values


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        UserError: it is missing, unreadable, or not a JSON object.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise UserError(
            f"cannot read {file}", why=error.strerror or str(error), fix="Check the model folder."
        ) from error
    except msgspec.MsgspecError as error:
        raise UserError(
            f"{file} is not a JSON object", why=str(error), fix="Download the checkpoint again."
        ) from error
