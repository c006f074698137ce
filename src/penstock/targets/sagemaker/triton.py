"""Triton's model repository for its vLLM backend, as one archive.

    <model>/config.pbtxt          the backend and where it runs
    <model>/1/model.json          vLLM's engine arguments
    <model>/1/multi_lora.json     adapter name -> its folder in the container
    <model>/1/adapters/<name>/    the adapters' files

Layout and names: triton-inference-server/vllm_backend, README and docs/llama_multi_lora_tutorial.
"""

import io
import json
import tarfile
from pathlib import Path

from penstock.engines.model_folder import ModelFacts, read_facts
from penstock.ground.errors import ManifestError
from penstock.manifest.model import SHIPPED_MODEL, Manifest
from penstock.targets.sagemaker.servers import MODEL_PLACE, vllm_flags

CONFIG = """backend: "vllm"
model_transaction_policy { decoupled: True }
instance_group [ { count: 1 kind: KIND_MODEL } ]
"""
SERVER_FLAGS = {
    "--served-model-name",
    "--enable-auto-tool-choice",
    "--tool-call-parser",
    "--exclude-tools-when-tool-choice-none",
}
"""Flags of vLLM's HTTP server, which Triton is in the place of."""


def triton_environment(manifest: Manifest) -> dict[str, str]:
    """The environment of AWS's Triton container: text in and text out, no tensors."""
    return {
        "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": manifest.served_model,
        "SAGEMAKER_TRITON_INFERENCE_TYPE": "generate",
    }


def repository(manifest: Manifest, gpus: int) -> dict[str, bytes]:
    """The files of the repository, by path.

    Raises:
        ManifestError: model or adapters are not where they can be taken from.
    """
    source, model = manifest.model.id, manifest.served_model
    if source == SHIPPED_MODEL or source.startswith((".", "/", "~", "s3://")):
        raise ManifestError(
            f"engine.kind triton cannot serve {source}",
            why="its repository names a model of the Hugging Face Hub",
            fix="Give model.id such a name, or set engine.kind: vllm",
        )
    facts = _facts(manifest)
    arguments = {"model": source} | _arguments(manifest, facts)
    if gpus > 1:
        arguments["tensor_parallel_size"] = gpus
    files = {
        f"{model}/config.pbtxt": CONFIG.encode(),
        f"{model}/1/model.json": _json(arguments),
    }
    if manifest.adapters:
        places = {name: f"{model}/1/adapters/{name}" for name in manifest.adapters}
        inside = {name: f"{MODEL_PLACE}/{place}" for name, place in places.items()}
        files[f"{model}/1/multi_lora.json"] = _json(inside)
        for name, folder in manifest.adapters.items():
            for file in sorted(Path(folder).expanduser().iterdir()):
                if file.is_file():
                    files[f"{places[name]}/{file.name}"] = file.read_bytes()
    return files


def pack_files(files: dict[str, bytes]) -> bytes:
    """A `.tar.gz` of `files`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _facts(manifest: Manifest) -> ModelFacts:
    for name, place in manifest.adapters.items():
        if not Path(place).expanduser().is_dir():
            raise ManifestError(
                f"the adapter '{name}' is no folder here: {place}",
                why="Triton's repository carries the adapters' files",
                fix="Name a folder with its adapter_config.json",
            )
    return read_facts(manifest.model.id, manifest.adapters)


def _arguments(manifest: Manifest, facts: ModelFacts) -> dict[str, object]:
    """vLLM's engine arguments under their names in Python."""
    arguments: dict[str, object] = {}
    for flag, value in vllm_flags(manifest, facts):
        if flag in SERVER_FLAGS:
            continue
        name = flag.removeprefix("--")
        off = name.startswith("no-")
        plain = name.removeprefix("no-").replace("-", "_")
        arguments[plain] = False if off else _plain(value)
    return arguments


def _plain(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
