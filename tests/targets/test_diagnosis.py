"""From how an engine ended and what it said to what the user can do."""

from pathlib import Path

import pytest

from penstock.targets.local.child import Fate
from penstock.targets.local.diagnosis import died_at_start, remedy, telling


@pytest.mark.parametrize(
    ("fate", "line", "words"),
    [
        (Fate(signal=9), "", "lack of memory"),
        (Fate(signal=4), "", "embedded"),
        (Fate(1), "[Errno 98] error while attempting to bind on address", "Free the port"),
        (Fate(127), "cannot start /x/python: No such file or directory", "Its program is missing"),
        (Fate(1), "RuntimeError: DefaultCPUAllocator: can't allocate memory: bad_alloc", "memory"),
        (Fate(1), "ValueError: 4.0 GiB KV cache is needed", "model.context"),
        (Fate(1), "OSError: [Errno 28] No space left on device", "disk"),
        (Fate(1), "huggingface_hub.errors.GatedRepoError: 401 Client Error", "HF_TOKEN"),
        (Fate(1), "OSError: x is not a local folder and is not a valid model", "model.id"),
        (Fate(1), "OSError: We couldn't connect to 'https://hub' to load", "cannot be reached"),
        (Fate(2), "vllm: error: unrecognized arguments: --nope", "extra_args"),
        (Fate(1), "ModuleNotFoundError: No module named 'vllm'", "install it anew"),
        (Fate(1), "something else", "Its log says more"),
    ],
)
def test_remedies(fate: Fate, line: str, words: str) -> None:
    assert words in remedy(fate, [line])


def test_the_root_cause_is_quoted_though_it_came_early() -> None:
    noise = [f"(Worker) File line {number}" for number in range(60)]
    cause = "(Worker) RuntimeError: no kernel"
    lines = [
        "WARNING OSError: limit",
        cause,
        *noise,
        cause,
        *noise,
        "RuntimeError: see root cause above",
    ]
    told = telling(lines)
    assert told[0] == cause
    assert told.count(cause) == 1
    assert told[-1] == lines[-1]


def test_an_error_reads_in_one_piece() -> None:
    error = died_at_start("engine", Fate(3), Path("/x/engine.log"), ["a", "b"])
    assert str(error) == (
        "engine stopped before it was ready: exit code 3. Its log says more "
        "(the end of /x/engine.log:\n    | a\n    | b\n)"
    )


@pytest.mark.parametrize(
    ("fate", "text"),
    [(Fate(3), "exit code 3"), (Fate(signal=9), "signal SIGKILL"), (Fate(signal=99), "signal 99")],
)
def test_fates_read_well(fate: Fate, text: str) -> None:
    assert str(fate) == text
