"""What a model says of itself, when it is a folder: read once, before an engine starts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.ground.errors import UserError

_KV_BYTES = 2  # bf16


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """`source` is what the engine is given: a folder or a Hugging Face id.

    All else is known of folders only: `weights_bytes`, `context` (tokens), `kv_bytes_per_token`,
    the chat `template`; 0 or empty where unknown. `lora_rank` is the largest rank of the adapters.
    """

    source: str
    is_folder: bool = False
    weights_bytes: int = 0
    context: int = 0
    kv_bytes_per_token: int = 0
    template: str = ""
    lora_rank: int = 0


def read_facts(source: str, adapters: Mapping[str, str] | None = None) -> ModelFacts:
    """Facts about the model `source` and its adapter folders.

    Raises UserError for an `s3://` URI, for something that is meant as a folder and is none,
    for a folder without config.json, and for weights that are cut off.
    """
    rank = max((_rank(name, place) for name, place in (adapters or {}).items()), default=0)
    if source.startswith("s3://"):
        raise UserError(
            f"the model {source} is not on this machine",
            fix="Copy it into a folder and name the folder in `model.id`",
        )
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if source.startswith((".", "/", "~")):
            raise UserError(f"there is no model folder {source}", fix="Check `model.id`")
        return ModelFacts(source, lora_rank=rank)
    config = _read(folder / "config.json", f"the model folder {source}")
    weights = sorted(folder.glob("*.safetensors"))
    for file in weights:
        _check_whole(file)
    shape = config.get("text_config", config)
    return ModelFacts(
        str(folder.resolve()),
        is_folder=True,
        weights_bytes=sum(file.stat().st_size for file in weights),
        context=int(shape.get("max_position_embeddings") or 0),
        kv_bytes_per_token=_kv_bytes(shape),
        template=_template(folder),
        lora_rank=rank,
    )


def _check_whole(file: Path) -> None:
    """Raise UserError when a safetensors file was cut off, which engines notice late.

    The format: eight bytes with the length of the header, the header, then the tensors that its
    `data_offsets` describe (huggingface.co/docs/safetensors).
    """
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        text = opened.read(min(length, size))
    try:
        header = json.loads(text)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"]
        whole = 8 + length + max(ends, default=0) == size
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        whole = False
    if not whole:
        raise UserError(
            f"the weights {file.name} are damaged or incomplete",
            fix="Fetch the model again",
            where=str(file.parent),
        )


def _kv_bytes(shape: Mapping[str, Any]) -> int:
    heads = int(shape.get("num_attention_heads") or 0)
    if not heads:
        return 0
    head = int(shape.get("head_dim") or int(shape.get("hidden_size") or 0) // heads)
    kv_heads = int(shape.get("num_key_value_heads") or heads)
    return 2 * int(shape.get("num_hidden_layers") or 0) * kv_heads * head * _KV_BYTES


def _template(folder: Path) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    settings = folder / "tokenizer_config.json"
    return str(_load(settings).get("chat_template") or "") if settings.is_file() else ""


def check_is_here(name: str, place: str) -> None:
    """Raise UserError where an adapter lies in S3 only."""
    if place.startswith("s3://"):
        raise UserError(
            f"the adapter {name} is not on this machine",
            why=place,
            fix=f"Copy it into a folder and name the folder in `adapters.{name}`",
        )


def _rank(name: str, place: str) -> int:
    check_is_here(name, place)
    file = Path(place).expanduser() / "adapter_config.json"
    return int(_read(file, f"the adapter {name}").get("r") or 0)


def _read(file: Path, whose: str) -> dict[str, Any]:
    if not file.is_file():
        raise UserError(f"{whose} has no {file.name}", fix="Is it the right folder?")
    try:
        return _load(file)
    except ValueError as error:
        raise UserError(f"{whose} has a damaged {file.name}", why=str(error)) from error


def _load(file: Path) -> dict[str, Any]:
    data = json.loads(file.read_bytes())
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    return data
