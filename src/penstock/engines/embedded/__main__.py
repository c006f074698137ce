"""`python -m penstock.engines.embedded`: serves one model over HTTP. Flags are named as vLLM's.

Exit codes: 0 after SIGINT or SIGTERM, 1 when the engine fails, 2 when it cannot start as asked.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

from penstock.ground.errors import UserError

SHIPPED_FOLDER = Path(__file__).parent / "model"
SHIPPED_NAME = "penstock-tiny"

SMALL_MODEL_BYTES = 64 * 2**20
"""Weight files up to this size are computed by one thread: more would wait for each other."""


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    arguments = parse_arguments(argv)
    folder = Path(arguments.model) if arguments.model else SHIPPED_FOLDER
    arguments.served_model_name = arguments.served_model_name or [arguments.model or SHIPPED_NAME]
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(_threads(folder)))
    # NumPy reads the variable when it is imported, so what imports NumPy comes after it.
    process = importlib.import_module("penstock.engines.embedded.process")
    try:
        process.run(arguments, folder)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m penstock.engines.embedded",
        description="A small NumPy engine that speaks vLLM's HTTP dialect: for the laptop, for "
        "tests and rehearsals, not for production.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", metavar="DIR", help="folder of the checkpoint (default: the shipped model)")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8000, help="port; 0 picks a free one (default: %(default)s)")
    add("--served-model-name", nargs="+", metavar="NAME", help="names clients ask for")
    add("--max-model-len", type=_positive, metavar="N", help="longest prompt plus answer, tokens")
    add("--max-num-seqs", type=_positive, default=32, metavar="N", help="answers at a time")
    add("--max-num-batched-tokens", type=_positive, metavar="N", help="tokens in one step")
    add(
        "--kv-cache-memory-bytes",
        type=_positive,
        default=512 * 2**20,
        metavar="N",
        help="most memory for keys and values; used as answers grow (default: 512 MiB)",
    )
    add("--enable-lora", action="store_true", help="serve adapters, and load them at run time")
    add("--max-loras", type=_positive, default=64, metavar="N", help="adapters loaded at most")
    add(
        "--lora-modules",
        nargs="+",
        default=[],
        type=_adapter,
        metavar="NAME=DIR",
        help="adapters to load at the start",
    )
    add(
        "--tool-call-parser",
        choices=("hermes", "none"),
        default="hermes",
        help="how the model writes tool calls (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    if arguments.lora_modules and not arguments.enable_lora:
        parser.error("--lora-modules needs --enable-lora")
    return arguments


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _adapter(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR")
    return name, path


def _threads(folder: Path) -> int:
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return 1 if weights <= SMALL_MODEL_BYTES else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
