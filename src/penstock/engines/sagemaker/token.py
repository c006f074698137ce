"""Bearer tokens for SageMaker's OpenAI route, made on this machine; needs `penstock[aws]`.

AWS issues no such token: it is a URL of `CallWithBearerToken` that the caller has presigned, in
base64. The host is the same in every region, the region stands in the signature. Its form is that
of AWS's own SDK (`sagemaker.core.token_generator`). Whoever has it can invoke what the signer can,
so it is kept out of every `repr`.
"""

import base64
import bisect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import boto3
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError

from penstock.ground.clock import Clock
from penstock.ground.errors import CloudError, UserError

LONGEST_S = 43_200
"""AWS takes no token that is older than 12 hours."""
_LEAST_S = 60
_TRIES = 3
_HOST = "sagemaker.amazonaws.com"
_PREFIX = "sagemaker-api-key-"


class Credentials(Protocol):
    """What is used of botocore's credentials; those that end have `refresh_needed` too."""

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return key, secret and session token that belong together."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and the Unix time from which on AWS refuses it."""

    text: str = field(repr=False)
    ends_s: float
    is_shortened: bool
    """Whether it ends before it was asked to, because the credentials do."""


def find_credentials() -> Credentials:
    """Return the credentials that boto3 finds, wherever they lie.

    Raises:
        UserError: there are none.
    """
    try:
        found = boto3.session.Session().get_credentials()
    except BotoCoreError as error:
        raise UserError("the AWS credentials cannot be used", why=str(error)) from error
    if found is None:
        raise UserError("there are no AWS credentials", fix="Try: aws configure sso")
    return found  # type: ignore[no-any-return]


def mint(
    credentials: Credentials, region: str, lasts_s: int = LONGEST_S, wall: Clock = time.time
) -> Token:
    """Return a token for `region` that lasts `lasts_s` seconds, or as long as the credentials.

    Raises:
        UserError: AWS takes no token that lasts so long.
        CloudError: the credentials have ended and cannot be renewed.
    """
    if not 0 < lasts_s <= LONGEST_S:
        raise UserError(
            f"a token cannot last {lasts_s} s", fix=f"AWS takes 1 to {LONGEST_S} s (12 hours)"
        )
    frozen, left_s = _snapshot(credentials)
    if left_s < min(_LEAST_S, lasts_s):
        raise CloudError(
            "no token can be made",
            why=f"the AWS credentials end in {left_s} s",
            fix="Sign in again: aws sso login",
        )
    ends_s = wall() + min(lasts_s, left_s)
    request = AWSRequest(
        "POST",
        f"https://{_HOST}/",
        headers={"host": _HOST},
        params={"Action": "CallWithBearerToken"},
    )
    SigV4QueryAuth(frozen, "sagemaker", region, expires=min(lasts_s, left_s)).add_auth(request)
    url = str(request.url).removeprefix("https://") + "&Version=1"
    text = _PREFIX + base64.b64encode(url.encode()).decode()
    return Token(text, ends_s, is_shortened=left_s < lasts_s)


def _snapshot(credentials: Credentials) -> tuple[ReadOnlyCredentials, int]:
    """Return key and secret of one version, and for how many seconds AWS takes them.

    Another thread may renew them between two questions: then both are asked again. Not for ever:
    those that never last long are renewed at every question.
    """
    try:
        frozen = credentials.get_frozen_credentials()
        for _ in range(_TRIES):
            left_s = seconds_left(credentials)
            before, frozen = frozen, credentials.get_frozen_credentials()
            if frozen == before:
                break
        return before, left_s
    except (BotoCoreError, ClientError) as error:
        raise CloudError(
            "the AWS credentials cannot be renewed", why=str(error), fix="Sign in again"
        ) from error


def seconds_left(credentials: Credentials) -> int:
    """Return how long they last, as far as a token cares; botocore answers only yes or no."""
    needed: Callable[[int], bool] | None = getattr(credentials, "refresh_needed", None)
    if needed is None:
        return LONGEST_S
    # Needed within s seconds means that less than s are left; that grows true once and stays.
    return max(0, bisect.bisect_left(range(LONGEST_S + 1), True, key=needed) - 1)
