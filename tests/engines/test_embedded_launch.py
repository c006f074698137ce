"""From manifests to the embedded engine's command line."""

import sys

import pytest

from penstock.engines.embedded_launch import embedded_launch
from penstock.ground.errors import UserError
from penstock.manifest.model import Manifest


def command(**fields: object) -> str:
    launch = embedded_launch(Manifest.model_validate(fields), 7)
    assert launch.argv[:3] == (sys.executable, "-m", "penstock.engines.embedded")
    return " ".join(launch.argv[3:])


def test_the_shipped_model() -> None:
    assert command() == "--host 127.0.0.1 --port 7 --served-model-name penstock-tiny"


def test_a_folder_and_every_setting() -> None:
    assert command(
        model={"id": "/m/qwen", "context": 512},
        engine={
            "kind": "embedded",
            "max_sequences": 4,
            "tool_parser": "none",
            "extra_args": ["--x", "1"],
        },
        adapters={"a": "/l/a", "b": "/l/b"},
    ) == (
        "--model /m/qwen --host 127.0.0.1 --port 7 --served-model-name qwen --max-model-len 512 "
        "--max-num-seqs 4 --tool-call-parser none --enable-lora --max-loras 6 "
        "--lora-modules a=/l/a b=/l/b --x 1"
    )


def test_an_adapter_in_s3_is_refused() -> None:
    with pytest.raises(UserError, match=r"adapters\.a"):
        command(adapters={"a": "s3://bucket/a"})
