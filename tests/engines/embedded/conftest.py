"""Models, tokenizers and engines that the tests of the embedded engine share."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines.embedded.engine_process import EngineProcess
from tests.engines.embedded.random_models import write_adapter, write_model, write_tokenizer

from penstock.engines.embedded.cache import Room
from penstock.engines.embedded.engine import Engine
from penstock.engines.embedded.model import Transformer
from penstock.engines.embedded.tokenizer import Tokenizer
from penstock.ground.clock import FakeClock

Reference = Callable[[list[dict[str, Any]]], None]


@pytest.fixture(scope="session")
def reference(torch_python: str, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Run jobs of `reference.py` with an interpreter that has torch and transformers."""
    script = Path(__file__).with_name("reference.py")

    def run(jobs: list[dict[str, Any]]) -> None:
        file = tmp_path_factory.mktemp("reference") / "jobs.json"
        file.write_text(json.dumps(jobs))
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [torch_python, str(script), str(file)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    return run


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama that has a tokenizer and a chat template."""
    folder = write_model(tmp_path_factory.mktemp("models") / "llama", seed=7)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two adapters for that model: one on attention, one on everything, rank-stabilised."""
    root = tmp_path_factory.mktemp("adapters")
    attention = ("self_attn.q_proj", "self_attn.v_proj")
    everything = (
        *attention,
        "self_attn.k_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    )
    return {
        "attention": write_adapter(root / "attention", attention),
        "everything": write_adapter(
            root / "everything", everything, rank=2, seed=2, config={"use_rslora": True}
        ),
    }


@pytest.fixture(scope="session")
def tokenizer(folder: Path) -> Tokenizer:
    """The random model's tokenizer."""
    return Tokenizer(folder)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def engine(folder: Path, tokenizer: Tokenizer, clock: FakeClock) -> Engine:
    """An engine with 4 rows of 64 tokens and 16 tokens a step."""
    model = Transformer(folder, positions=64)
    return Engine(model, tokenizer, Room(rows=4, length=64), token_budget=16, clock=clock)


@pytest.fixture(scope="session")
def served(folder: Path, adapters: dict[str, Path]) -> Iterator[EngineProcess]:
    """The random model served by a real process, with one adapter loaded at the start."""
    with EngineProcess(
        "--model",
        str(folder),
        "--served-model-name",
        "random",
        "--enable-lora",
        "--max-loras",
        "3",
        "--lora-modules",
        f"attention={adapters['attention']}",
    ) as process:
        yield process
