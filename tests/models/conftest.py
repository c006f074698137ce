"""What the tests of the shipped model share."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

import penstock


@pytest.fixture(scope="session")
def shipped_model() -> Path:
    return Path(penstock.__file__).parent / "engines" / "embedded" / "model"


@pytest.fixture(scope="session")
def shipped_tokenizer(shipped_model: Path) -> Tokenizer:
    return Tokenizer.from_file(str(shipped_model / "tokenizer.json"))
