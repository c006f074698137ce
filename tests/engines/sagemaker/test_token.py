"""Tokens: made by botocore from its own credentials, judged by the stand-in's own verification."""

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import (
    CredentialRetrievalError,
    Credentials,
    ReadOnlyCredentials,
    RefreshableCredentials,
)

from penstock.engines.sagemaker.token import LONGEST_S, mint
from penstock.ground.errors import CloudError, UserError
from penstock.rehearsal.refusals import AwsError
from penstock.rehearsal.runtime import bearer

REGION = "eu-west-1"
STATIC = Credentials("AKIDEXAMPLE", "a-secret")


def query(text: str) -> dict[str, list[str]]:
    url = base64.b64decode(text.removeprefix("sagemaker-api-key-")).decode()
    assert url.startswith("sagemaker.amazonaws.com/?")
    assert url.endswith("&Version=1")
    return parse_qs(urlsplit(f"https://{url}").query)


def ending(seconds: float, count: list[int] | None = None) -> RefreshableCredentials:
    """Credentials that end so soon, and are the same again when they are renewed."""

    def renewed() -> dict[str, str]:
        if count is not None:
            count.append(1)
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        key = f"AK{len(count or ())}"
        return {"access_key": key, "secret_key": "s", "token": "session",
                "expiry_time": until.isoformat()}  # fmt: skip

    return RefreshableCredentials.create_from_metadata(renewed(), renewed, "a test")


@pytest.mark.parametrize("lasts_s", [60, 3600, LONGEST_S])
def test_the_signature_holds_elsewhere(lasts_s: int) -> None:
    token = mint(STATIC, REGION, lasts_s)
    secret_of = {"AKIDEXAMPLE": "a-secret"}.get
    bearer.check(f"Bearer {token.text}", secret_of, datetime.now(UTC), REGION)
    assert not token.is_shortened
    assert token.ends_s == pytest.approx(datetime.now(UTC).timestamp() + lasts_s, abs=30)
    with pytest.raises(AwsError, match="us-east-1"):
        bearer.check(f"Bearer {token.text}", secret_of, datetime.now(UTC), "us-east-1")
    late = datetime.now(UTC) + timedelta(seconds=lasts_s + 400)
    with pytest.raises(AwsError, match="expired"):
        bearer.check(f"Bearer {token.text}", secret_of, late, REGION)


def test_a_session_token_is_part_of_it() -> None:
    asked = query(mint(Credentials("AK", "s", "session/+="), REGION).text)
    assert asked["X-Amz-Security-Token"] == ["session/+="]
    assert asked["Action"] == ["CallWithBearerToken"]
    assert asked["X-Amz-Expires"] == [str(LONGEST_S)]


@pytest.mark.parametrize("left_s", [3000, 1200])
def test_it_never_outlives_the_credentials(left_s: int) -> None:
    before_s = datetime.now(UTC).timestamp()
    token = mint(ending(left_s), REGION)
    assert token.is_shortened
    assert token.ends_s <= before_s + left_s + 60
    assert int(query(token.text)["X-Amz-Expires"][0]) <= left_s
    short = mint(ending(left_s), REGION, 600)
    assert not short.is_shortened
    assert query(short.text)["X-Amz-Expires"] == ["600"]


def test_credentials_that_are_always_renewed_do_not_hold_it_up() -> None:
    """Those that never last 10 minutes are renewed by botocore at every question."""
    count: list[int] = []
    token = mint(ending(300, count), REGION)
    assert token.is_shortened
    assert 0 < len(count) < 10


def test_key_and_secret_are_of_one_version() -> None:
    """A renewal between two questions must not mix them."""

    class Turning:
        def __init__(self) -> None:
            self.asked = 0

        def get_frozen_credentials(self) -> ReadOnlyCredentials:
            self.asked += 1
            which = "old" if self.asked == 1 else "new"
            return ReadOnlyCredentials(f"AK{which}", f"{which}-secret", None, None)

    token = mint(Turning(), REGION)
    secret_of = {"AKnew": "new-secret"}.get
    bearer.check(f"Bearer {token.text}", secret_of, datetime.now(UTC), REGION)


@pytest.mark.parametrize("lasts_s", [0, -5, LONGEST_S + 1])
def test_aws_takes_none_that_lasts_so(lasts_s: int) -> None:
    with pytest.raises(UserError, match="12 hours"):
        mint(STATIC, REGION, lasts_s)


def test_credentials_that_end_now_make_none() -> None:
    class Ended:
        def get_frozen_credentials(self) -> ReadOnlyCredentials:
            return ReadOnlyCredentials("AK", "s", "t", None)

        def refresh_needed(self, refresh_in: int) -> bool:
            return refresh_in > 20

    with pytest.raises(CloudError, match=r"end in 20 s.*Sign in again"):
        mint(Ended(), REGION)


def test_a_login_that_has_ended_is_said() -> None:
    class Gone:
        def get_frozen_credentials(self) -> ReadOnlyCredentials:
            raise CredentialRetrievalError(provider="sso", error_msg="the session has ended")

    with pytest.raises(CloudError, match="the session has ended"):
        mint(Gone(), REGION)


def test_it_is_not_shown_by_chance() -> None:
    token = mint(STATIC, REGION)
    assert token.text not in repr(token)
