"""From manifests to the embedded engine's command line."""

import sys
from pathlib import Path

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


def adapter(folder: Path) -> str:
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    return str(folder)


def test_a_folder_and_every_setting(tmp_path: Path) -> None:
    a, b = adapter(tmp_path / "a"), adapter(tmp_path / "b")
    assert command(
        model={"id": "/m/qwen", "context": 512},
        engine={
            "kind": "embedded",
            "max_sequences": 4,
            "tool_parser": "none",
            "extra_args": ["--x", "1"],
        },
        adapters={"a": a, "b": b},
    ) == (
        "--model /m/qwen --host 127.0.0.1 --port 7 --served-model-name qwen --max-model-len 512 "
        "--max-num-seqs 4 --tool-call-parser none --enable-lora --max-loras 6 "
        f"--lora-modules a={a} b={b} --x 1"
    )


@pytest.mark.parametrize("place", ["s3://bucket/a", "./not/there"])
def test_an_adapter_that_is_not_here_is_refused(place: str) -> None:
    with pytest.raises(UserError, match=r"adapters\.a"):
        command(adapters={"a": place})
