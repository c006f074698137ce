"""Fixtures for every room."""

import gc
import os
import platform
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.fakes.left_behind import keys_in
from tests.fakes.marked import Marked
from tests.vllm_engine import VllmEngines

from penstock.engines import vllm_environment
from penstock.engines.vllm import VllmHost

_DAY_S = 86_400
_BEFORE_MIDNIGHT_S = 30


def pytest_configure() -> None:
    """What a shell and its settings must not decide.

    It starts background jobs with SIGINT ignored: tests would press Ctrl-C in vain.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Hundreds of processes are started: they need not all compile the same modules.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # How fast examples are made and run says how busy the machine is, not what the code is worth.
    settings.register_profile(
        "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any-machine")


def pytest_collection_finish() -> None:
    """What was imported is no garbage: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_unclosed() -> Iterator[None]:
    """A socket that a module forgot is its own error, not that of whatever runs minutes later."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _no_day_ends_meanwhile() -> None:
    """Shortly before midnight (UTC) wait for it: then budgets and daily limits begin anew."""
    left_s = _DAY_S - time.time() % _DAY_S
    if left_s < _BEFORE_MIDNIGHT_S:
        time.sleep(left_s + 0.1)


@pytest.fixture(scope="session", autouse=True)
def _no_key_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After the whole run: no key lies in any database, journal, audit or log of it."""
    yield
    assert keys_in(tmp_path_factory.getbasetemp()) == []


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[Marked]:
    """Starts supervisors and commands with stand-in engines, in `tmp_path`."""
    started = Marked(tmp_path)
    yield started
    started.end()


@pytest.fixture(scope="session")
def torch_python() -> str:
    """A Python with torch and transformers: that of the vLLM environment.

    PENSTOCK_TORCH_PYTHON names another one.
    """
    if given := os.environ.get("PENSTOCK_TORCH_PYTHON"):
        return given
    return _vllm().command[0]


@pytest.fixture(scope="session")
def vllm_engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmEngines]:
    """Starts real vLLM servers, each once a session; see `tests/vllm_engine.py`."""
    engines = VllmEngines(_vllm(), tmp_path_factory.mktemp("vllm"))
    yield engines
    engines.end()


def _vllm() -> VllmHost:
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("DID NOT RUN: the real vLLM needs Linux on x86-64 or aarch64")
    return vllm_environment.require()
