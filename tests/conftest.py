"""Fixtures for every room."""

import os
import platform
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.fakes.marked import Marked
from tests.vllm_engine import VllmEngines

from penstock.engines import vllm_environment
from penstock.engines.vllm import VllmHost


def pytest_configure() -> None:
    """A shell starts background jobs with SIGINT ignored: tests would press Ctrl-C in vain."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # How fast examples are made and run says how busy the machine is, not what the code is worth.
    settings.register_profile(
        "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any-machine")


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
