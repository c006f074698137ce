"""The file between `bench` and `calibrate`."""

import json
from pathlib import Path

import pytest
from tests.measurement.test_summary import LOAD, WINDOW, answer

from penstock.ground.errors import UserError
from penstock.measurement.hardware import this_machine
from penstock.measurement.result import Result, read, write
from penstock.measurement.summary import summarize


def result() -> Result:
    return Result(
        at="2026-11-21T06:00:00+00:00",
        url="http://127.0.0.1:1",
        model="embedded",
        asked_as="penstock-tiny",
        engine="embedded",
        engine_version="0.1",
        penstock="0.1",
        manifest={"model": {"id": "embedded"}, "engine": {}},
        hardware=this_machine().as_data(),
        runs=(summarize(LOAD, [answer(11, [11.1, 11.2])], WINDOW),),
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(result(), tmp_path / "deep" / "r.json")
    assert read(tmp_path / "deep" / "r.json") == result()
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no JSON"),
        ("[]", "no result of penstock bench"),
        ('{"kind": "penstock-bench", "version": 9}', "no result of penstock bench"),
        ('{"kind": "penstock-bench", "version": 1}', "not complete"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(text)
    with pytest.raises(UserError, match=told):
        read(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "none.json")


def test_this_machine_says_what_it_is() -> None:
    here = this_machine()
    assert here.cpu
    assert here.cpus >= 1
    assert here.ram_mib > 500
    json.dumps(here.as_data())
