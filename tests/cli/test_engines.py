"""`penstock engines`: what there is, and what an installation would cost."""

import json
import platform
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def _no_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    monkeypatch.delenv("PENSTOCK_VLLM_PYTHON", raising=False)


def test_the_list(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row["name"]: row for row in json.loads(run("engines", "list", "--json").out)}
    assert list(rows) == ["embedded", "vllm", "openai"]
    assert rows["vllm"]["installed"] is False
    if platform.system() == "Linux":
        assert "penstock engines install vllm" in rows["vllm"]["note"]
        monkeypatch.setenv("PENSTOCK_VLLM_PYTHON", sys.executable)
        assert f"yes  on the CPU: {sys.executable}" in run("engines").out


def test_only_vllm_can_be_installed(run: Run) -> None:
    ran = run("engines", "install", "tgi")
    assert ran.code == 2
    assert "penstock engines install vllm" in ran.err


@pytest.mark.skipif(platform.system() != "Linux", reason="vLLM for CPUs is for Linux")
def test_nothing_is_fetched_without_consent(run: Run, tmp_path: Path) -> None:
    ran = run("engines", "install", "vllm")
    assert ran.code == 3
    assert "3.5 GB" in ran.err
    assert str(tmp_path) in ran.err
    assert "--yes" in ran.err
    assert not (tmp_path / "engines").exists()


@pytest.mark.skipif(platform.system() != "Linux", reason="vLLM for CPUs is for Linux")
def test_what_is_there_is_not_installed_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_VLLM_PYTHON", sys.executable)
    ran = run("engines", "install", "vllm")
    assert (ran.code, ran.err) == (0, "vLLM is installed.\n")
