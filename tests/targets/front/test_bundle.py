"""The sources of images: the same to the byte, and what a Dockerfile needs is in them."""

import io
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path

from penstock.targets.front.bundle import gateway_source, mirror_source
from penstock.targets.sagemaker.handbook import upload_bytes

IMAGE = files("penstock.targets.front") / "image"
DOCKERFILE = (IMAGE / "Dockerfile").read_text(encoding="utf-8")


def contents(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_same_package_is_the_same_source_to_the_byte() -> None:
    (build, upload), (again, same) = gateway_source("bot"), gateway_source("bot")
    assert build == again
    assert upload_bytes(upload) == upload_bytes(same)
    digest = build.tag.removeprefix("gateway-")
    assert build.source == upload.key == f"bot/{digest}/gateway.zip"


def test_another_image_is_another_source() -> None:
    first, _ = mirror_source("bot", "ui", "ghcr.io/open-webui/open-webui:v1")
    second, upload = mirror_source("bot", "ui", "ghcr.io/open-webui/open-webui:v2")
    assert first.tag != second.tag
    held = contents(upload_bytes(upload))
    assert held["Dockerfile"] == b'FROM ghcr.io/open-webui/open-webui:v2\nVOLUME ["/tmp"]\n'
    assert set(held) == {"Dockerfile", "buildspec.yml"}


def test_what_the_dockerfile_copies_is_there_and_what_it_takes_is_pinned() -> None:
    names = set(contents(upload_bytes(gateway_source("bot")[1])))
    copied = re.findall(r"^COPY (?!--)(.+) \./$", DOCKERFILE, re.MULTILINE)
    assert copied
    for pattern in " ".join(copied).split():
        assert any(Path(name).match(pattern) for name in names), pattern
    for default in re.findall(r"^ARG \w+=(.+)$", DOCKERFILE, re.MULTILINE):
        assert re.search(r":\d+\.\d+\.\d+", default), default
    (extras,) = re.findall(r"\.whl\)\[(.+)\]", DOCKERFILE)
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])
    assert "USER 10001:10001" in DOCKERFILE
    assert "HEALTHCHECK" not in DOCKERFILE


def test_the_versions_in_the_image_are_the_projects() -> None:
    """If not: `make lock`."""
    assert (IMAGE / "constraints.txt").read_bytes() == Path("constraints.txt").read_bytes()


def test_the_wheel_installs_and_the_gateway_in_it_starts(tmp_path: Path) -> None:
    held = contents(upload_bytes(gateway_source("bot")[1]))
    (name,) = [name for name in held if name.endswith(".whl")]
    (tmp_path / name).write_bytes(held[name])
    place = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet"]
    subprocess.run([*command, "--target", str(place), str(tmp_path / name)], check=True)
    assert (place / "penstock/engines/embedded/model/config.json").is_file()
    told = subprocess.run(
        [sys.executable, "-c", "import penstock.cli.gateway as g; print(g.__file__)"],
        env={"PYTHONPATH": str(place)}, cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert told.stdout.startswith(str(place))
