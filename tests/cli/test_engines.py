"""`penstock engines`: what there is, and what an installation would cost."""

import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.gateway.gateway_process import GatewayProcess
from tests.gateway.registry_gateway import ADMIN, registry_settings
from tests.vllm_engine import installable


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


@installable
def test_nothing_is_fetched_without_consent(run: Run, tmp_path: Path) -> None:
    ran = run("engines", "install", "vllm")
    assert ran.code == 3
    assert "3.5 GB" in ran.err
    assert str(tmp_path) in ran.err
    assert "--yes" in ran.err
    assert not (tmp_path / "engines").exists()


@installable
def test_what_is_there_is_not_installed_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_VLLM_PYTHON", sys.executable)
    ran = run("engines", "install", "vllm")
    assert (ran.code, ran.err) == (0, "vLLM is installed.\n")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway with two engines, at which nobody listens, and an admin API."""
    engines = {"one": "http://127.0.0.1:9", "other": "http://127.0.0.1:9"}
    settings = registry_settings(engines, tmp_path, str(tmp_path / "registry.db"))
    with GatewayProcess(settings, is_ready=False) as process:
        yield process


def test_an_engine_is_drained_and_resumed(run: Run, gateway: GatewayProcess) -> None:
    where = ("--url", gateway.url, "--admin-key", ADMIN)
    (row,) = json.loads(run("engines", "drain", "one", *where, "--json").out)
    assert (row["name"], row["draining"]) == ("one", True)
    lines = run("engines", "state", *where).out.splitlines()
    assert [line.split()[:2] for line in lines] == [["one", "draining"], ["other", "down"]]
    assert "draining" not in run("engines", "resume", "one", *where).out
    unknown = run("engines", "drain", "no one?", *where)
    assert unknown.code == 2
    assert "There are: one, other" in unknown.err
    assert run("engines", "drain", *where).code == 2
    wrong = run("engines", "drain", "one", "--url", gateway.url, "--admin-key", "ps-wrong")
    assert wrong.code != 0
    assert "admin key" in wrong.err
