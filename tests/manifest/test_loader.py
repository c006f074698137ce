"""Every mistake is told with its place, and in our words: see golden/*.yaml and *.txt.

`python -m tests.manifest.test_loader` writes the texts anew; read the difference before you
commit it.
"""

from pathlib import Path

import pytest

from penstock.ground.errors import ManifestError
from penstock.manifest.loader import examine, load
from penstock.manifest.model import Manifest

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.yaml"))


def told(file: Path) -> str:
    try:
        load(file)
    except ManifestError as error:
        return f"{error}\n".replace(str(file), file.name)
    raise AssertionError(f"{file} has no problem")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_mistake_is_told(file: Path) -> None:
    assert told(file) == file.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_message_repeats_a_secret(file: Path) -> None:
    assert "verysecret" not in told(file)
    assert "hunter2" not in told(file)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "{}", "---\n", "~"])
def test_an_empty_file_means_every_default(tmp_path: Path, text: str) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(text)
    assert load(file) == Manifest()


def test_a_key_without_a_value_means_its_default(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("model:\nengine: {kind: }\ntenants: {org-a: }\n")
    manifest = load(file)
    assert manifest.model == Manifest().model
    assert manifest.engine.kind == "auto"
    assert manifest.tenants["org-a"].models == ("*",)


def test_the_default_file_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load() == Manifest()
    (tmp_path / "penstock.yaml").write_text("name: support-bot")
    assert load().name == "support-bot"


def test_a_named_file_may_not_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"does not exist\. `penstock init` writes"):
        load(tmp_path / "penstock.yaml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"is a folder\. Name the file in it"):
        load(tmp_path)


def test_an_unreadable_file_says_why(tmp_path: Path) -> None:
    loop = tmp_path / "penstock.yaml"
    loop.symlink_to(loop)
    with pytest.raises(ManifestError, match="cannot be read: Too many levels of symbolic links"):
        load(loop)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("#" * 300_000)
    with pytest.raises(ManifestError, match="larger than 256 KiB"):
        load(file)


def test_the_command_line_is_laid_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("engine: {kind: embedded, max_sequences: 4}\n")
    changes = {"engine.kind": "vllm", "model.id": "some/Model", "gateway.port": None}
    manifest = load(file, changes)
    assert manifest.engine_kind == "vllm"
    assert manifest.engine.max_sequences == 4
    assert manifest.served_model == "Model"
    assert manifest.gateway.port == 8080


def test_a_mistake_on_the_command_line_has_no_line(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("gateway: {port: 8080}\n")
    with pytest.raises(ManifestError, match=r"^command line: gateway\.port takes a whole number"):
        load(file, {"gateway.port": 70_000})


def test_a_changed_engine_is_checked_against_the_file(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("engine: {eager: true}\n")
    assert load(file, {"engine.kind": "vllm"}).engine.eager
    with pytest.raises(ManifestError, match=r"penstock\.yaml:1:17: engine\.eager has no effect"):
        load(file)


def test_problems_come_as_data_too() -> None:
    manifest, problems = examine(GOLDEN / "duplicate_keys.yaml")
    assert manifest is None
    assert {problem.spot and problem.spot.line for problem in problems} == {2, 3}


if __name__ == "__main__":
    for golden in FILES:
        golden.with_suffix(".txt").write_text(told(golden), encoding="utf-8")
