"""The evaluation command: what it prints, and when it says that a model is not good enough."""

import subprocess
import sys
from pathlib import Path

import pytest
from models.recipe.exam import Question, set_exam
from models.recipe.inventor import Inventor
from models.recipe.lexicon import load_lexicon
from models.recipe.pieces import letter_pieces
from tests.fakes.oracle_engine import serve_oracle

COMMAND = Path(__file__).parents[2] / "models" / "evaluate.py"
EACH, SEED = 5, 3


@pytest.fixture(scope="module")
def exam(shipped_model: Path) -> list[Question]:
    lexicon = load_lexicon()
    pieces = letter_pieces(shipped_model / "tokenizer.json")
    return set_exam(Inventor(lexicon, lexicon.held_out, pieces), SEED, EACH)


def _evaluate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(COMMAND), "--each", str(EACH), "--seed", str(SEED), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_perfect_engine_passes(exam: list[Question]) -> None:
    with serve_oracle(exam) as url:
        done = _evaluate("--url", url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("100.0%") == 9


def test_an_engine_that_misses_a_threshold_fails(exam: list[Question]) -> None:
    with serve_oracle(exam, forgets=frozenset({"search"})) as url:
        done = _evaluate("--url", url, "--misses")
    assert done.returncode == 1
    assert "MISSED" in done.stdout
    assert "search: " in done.stdout


def test_two_engines_are_compared(exam: list[Question]) -> None:
    with (
        serve_oracle(exam) as url,
        serve_oracle(exam, forgets=frozenset({"faq"})) as other,
    ):
        done = _evaluate("--url", url, "--compare", other)
    assert done.returncode == 0, done.stderr
    agreement = done.stdout.split("agree")[1].splitlines()
    faq = next(line for line in agreement if line.startswith("faq"))
    weather = next(line for line in agreement if line.startswith("weather"))
    assert faq.split()[2:] == ["0.0%", "0.0%"]
    assert weather.split()[2:] == ["100.0%", "100.0%"]


def test_an_engine_that_is_not_there_is_said_so() -> None:
    done = _evaluate("--url", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "could not be asked" in done.stderr
