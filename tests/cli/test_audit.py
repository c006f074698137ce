"""`penstock audit` over audits in a folder."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.registry.audit.audits import KEY, wrapper, write_chain


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUDIT_KEY", KEY.hex())
    text = "audit: {to: ./audit, key: '${env:AUDIT_KEY}'}\n"
    (tmp_path / "penstock.yaml").write_text(text)
    (tmp_path / "audit").mkdir()
    write_chain(tmp_path / "audit", "one", (3, 2), wrapper())
    return tmp_path / "audit"


@pytest.mark.usefixtures("audit")
def test_a_whole_audit_is_said_to_be(run: Run) -> None:
    ran = run("audit", "verify")
    assert ran.code == 0
    assert ran.out.strip() == "1 chain, 8 lines, 5 entries (5 sealed, 5 of them opened)"
    report = json.loads(run("audit", "verify", "--json").out)
    assert report["findings"] == []
    assert list(report["heads"]) == ["one"]


def test_what_was_altered_is_said_with_its_place(run: Run, audit: Path) -> None:
    path = audit / "chains" / "one" / "00000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    ran = run("audit", "verify")
    assert ran.code == 1
    assert "one segment 1, line 3: line 3 of the chain should stand before this" in ran.out


@pytest.mark.usefixtures("audit")
def test_entries_are_shown_and_chosen(run: Run, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in run("audit", "show", "--json").out.splitlines()]
    assert [row["request_id"] for row in rows] == [f"req-one-{n}" for n in range(1, 6)]
    (line,) = run("audit", "show", "--request", "req-one-3").out.splitlines()
    assert "req-one-3" in line
    assert line.endswith("note 3")
    assert run("audit", "show", "--tenant", "bob").out == ""
    assert run("audit", "show", "--until", "1970-01-01").out == ""
    assert run("audit", "show", "--since", "1970-01-01", "--json").out.count("\n") == 5
    key = tmp_path / "key"
    key.write_text(KEY.hex())
    shown = run("audit", "show", str(tmp_path / "audit"), "--key-file", str(key), "--json")
    assert shown.out.count("\n") == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "--since", "yesterday"), "yesterday is no day"),
        (("verify", "./nowhere"), "there is no audit in nowhere"),
        (("verify", "--key-file", "./no-key"), "key cannot be read"),
    ],
)
@pytest.mark.usefixtures("audit")
def test_mistakes_are_told(run: Run, arguments: tuple[str, ...], said: str) -> None:
    ran = run("audit", *arguments)
    assert ran.code == 2
    assert said in ran.err


def test_without_an_audit_there_is_nothing_to_check(run: Run) -> None:
    ran = run("audit", "verify")
    assert ran.code == 2
    assert "which audit?" in ran.err
