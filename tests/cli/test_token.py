"""`penstock token`: the token alone on stdout, signed for the region that was meant."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from penstock.rehearsal.runtime import bearer


@pytest.fixture(autouse=True)
def _credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def opens(token: str, region: str) -> None:
    secret_of = {"AKIDEXAMPLE": "a-secret"}.get
    bearer.check(f"Bearer {token}", secret_of, datetime.now(UTC), region)


def test_stdout_carries_the_token_alone(run: Run) -> None:
    ran = run("token")
    assert ran.code == 0
    (line,) = ran.out.splitlines()
    opens(line, "eu-central-1")
    assert line not in ran.err
    assert "until" in ran.err
    assert "sagemaker:CallWithBearerToken" in ran.err
    assert b"X-Amz-Expires=3600" in base64.b64decode(line.removeprefix("sagemaker-api-key-"))


def test_for_programs(run: Run) -> None:
    told = json.loads(run("token", "--json", "--expires", "45m", "--region", "us-west-2").out)
    opens(told["token"], "us-west-2")
    assert told["region"] == "us-west-2"
    assert 2600 < told["expires_in_s"] <= 2700
    assert told["shortened"] is False
    assert datetime.fromisoformat(told["expires_at"]) > datetime.now(UTC)


def test_the_region_is_the_manifests(run: Run) -> None:
    Path("penstock.yaml").write_text("target: {kind: sagemaker, region: eu-west-1}\n")
    opens(run("token").out.strip(), "eu-west-1")
    opens(run("token", "--region", "us-east-1").out.strip(), "us-east-1")


@pytest.mark.parametrize(
    ("expires", "why"), [("13h", "12 hours"), ("0s", "12 hours"), ("soon", "90s, 45m or 12h")]
)
def test_a_time_that_cannot_be(run: Run, expires: str, why: str) -> None:
    ran = run("token", "--expires", expires)
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err


def test_nothing_to_sign_with(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    ran = run("token")
    assert (ran.code, ran.out) == (2, "")
    assert "there are no AWS credentials" in ran.err


def test_no_region(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    ran = run("token")
    assert ran.code == 2
    assert "--region" in ran.err
