"""The embedded engine as a process of its own: from the manifest to a command line."""

import sys
from pathlib import Path

from penstock.engines.launch import Launch
from penstock.engines.model_folder import check_is_here
from penstock.ground.errors import UserError
from penstock.manifest.model import SHIPPED_MODEL, Manifest

READY_S = 120.0
SPARE_LORA_SLOTS = 4


def embedded_launch(manifest: Manifest, port: int) -> Launch:
    """The process that serves the manifest's model at 127.0.0.1:`port`.

    Raises UserError for a model or an adapter that is not on this machine: this engine fetches
    nothing.
    """
    model, engine = manifest.model, manifest.engine
    arguments = [sys.executable, "-m", "penstock.engines.embedded"]
    if model.id != SHIPPED_MODEL:
        arguments += ["--model", model.id]
    arguments += ["--host", "127.0.0.1", "--port", str(port)]
    arguments += ["--served-model-name", manifest.served_model]
    if model.context:
        arguments += ["--max-model-len", str(model.context)]
    if engine.max_sequences:
        arguments += ["--max-num-seqs", str(engine.max_sequences)]
    if engine.tool_parser != "auto":
        arguments += ["--tool-call-parser", engine.tool_parser]
    if manifest.adapters:
        slots = len(manifest.adapters) + SPARE_LORA_SLOTS
        arguments += ["--enable-lora", "--max-loras", str(slots), "--lora-modules"]
        arguments += [f"{name}={_folder(name, at)}" for name, at in manifest.adapters.items()]
    return Launch(
        argv=(*arguments, *engine.extra_args),
        url=f"http://127.0.0.1:{port}",
        served_model=manifest.served_model,
        ready_timeout_s=READY_S,
    )


def _folder(name: str, place: str) -> str:
    check_is_here(name, place)
    if not (Path(place) / "adapter_config.json").is_file():
        raise UserError(
            f"the adapter {name} cannot be used",
            why=f"there is no {place}/adapter_config.json",
            fix=f"Name the adapter's folder in `adapters.{name}`",
        )
    return place
