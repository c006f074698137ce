"""Images built by a Docker on this machine: a program that writes down what it is asked."""

import io
import os
import zipfile
from pathlib import Path

import pytest

from penstock.ground.errors import CloudError
from penstock.targets.aws.docker import Docker, Login

DOCKER = """#!/usr/bin/env bash
case "$1" in
  info) echo "${ARCHITECTURE:-x86_64}"; exit "${NO_DAEMON:-0}" ;;
  login) read -r password; echo "login with $password" >> "$ASKED" ;;
  build) [ -f "${@: -1}/Dockerfile" ] || exit 9 ;;
esac
echo "$*" >> "$ASKED"
[ "$1" = "$FAILS" ] && { echo "no space left on device"; exit 3; }
exit 0
"""
LOGIN = Login("123456789012.dkr.ecr.us-east-1.amazonaws.com", "AWS", "of-the-registry")
IMAGE = f"{LOGIN.registry}/bot:gateway-1"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program writes to."""
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked.txt"))
    return tmp_path / "asked.txt"


def packed() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("Dockerfile", "FROM scratch")
    return held.getvalue()


def found() -> Docker:
    docker = Docker.find()
    assert docker is not None
    return docker


def test_it_is_built_for_x86_and_pushed_with_the_registrys_password(asked: Path) -> None:
    told: list[str] = []
    found().make(packed(), IMAGE, LOGIN, told.append)
    lines = asked.read_text().splitlines()
    assert lines[0] == "login with of-the-registry"
    assert lines[1] == f"login --username AWS --password-stdin {LOGIN.registry}"
    assert lines[2].startswith(f"build --pull --platform linux/amd64 --tag {IMAGE} ")
    assert lines[3] == f"push {IMAGE}"
    assert told == ["docker login", "docker build", "docker push"]
    assert not Path(lines[2].split()[-1]).exists()
    assert "of-the-registry" not in repr(LOGIN)


def test_what_fails_is_told_with_its_last_lines(
    asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "build")
    with pytest.raises(CloudError, match="docker build failed") as caught:
        found().make(packed(), IMAGE, LOGIN, lambda _: None)
    assert "no space left on device" in caught.value.why
    assert "--codebuild" in caught.value.fix
    assert "push" not in asked.read_text()


@pytest.mark.parametrize(("name", "value"), [("ARCHITECTURE", "aarch64"), ("NO_DAEMON", "1")])
def test_one_that_emulates_or_is_not_there_is_not_used(
    asked: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert Docker.find() is None


def test_a_machine_without_docker_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert Docker.find() is None
