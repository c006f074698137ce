"""Whether a bearer token is one that SageMaker would take: signed, for this, and not expired.

A token is `sagemaker-api-key-` and base64 of a presigned URL of `CallWithBearerToken` without its
scheme; here the signature is made again with the secret that belongs to the access key.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

from penstock.rehearsal.refusals import AwsError

PREFIX = "sagemaker-api-key-"
LONGEST_S = 43_200
HOST = "sagemaker.amazonaws.com"
UNSIGNED = {"X-Amz-Signature", "Version"}


def check(
    authorization: str, secret_of: Callable[[str], str | None], now: datetime, region: str
) -> str:
    """Return the access key that signed; raises AccessDeniedException unless it is good."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.startswith(PREFIX):
        raise _denied("Authorization must be `Bearer sagemaker-api-key-...`")
    try:
        url = base64.b64decode(token.removeprefix(PREFIX), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _denied("the token is not base64 of a URL") from error
    parts = urlsplit(f"https://{url}")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.hostname != HOST or given.get("Action") != "CallWithBearerToken":
        raise _denied(f"the token is not for CallWithBearerToken at {HOST}")
    _check_time(given, now)
    scope = given.get("X-Amz-Credential", "").split("/")
    if len(scope) != 5 or scope[2:] != [region, "sagemaker", "aws4_request"]:
        raise _denied(f"the token is not for sagemaker in {region}")
    secret = secret_of(scope[0])
    if secret is None:
        raise _denied("The security token included in the request is invalid")
    if not hmac.compare_digest(_signature(given, scope, secret), given.get("X-Amz-Signature", "")):
        raise _denied("the signature of the token does not match")
    return scope[0]


def _check_time(given: dict[str, str], now: datetime) -> None:
    try:
        begin = datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        lasts = int(given["X-Amz-Expires"])
    except (KeyError, ValueError) as error:
        raise _denied("the token has no X-Amz-Date or X-Amz-Expires") from error
    if not 0 < lasts <= LONGEST_S:
        raise _denied(f"X-Amz-Expires is {LONGEST_S} at most")
    if not begin - timedelta(minutes=5) <= now <= begin + timedelta(seconds=lasts):
        raise _denied("the token has expired")


def _signature(given: dict[str, str], scope: list[str], secret: str) -> str:
    query = "&".join(
        f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}"
        for key, value in sorted(given.items())
        if key not in UNSIGNED
    )
    # botocore presigns a POST for a URL with the hash of an empty body.
    body = hashlib.sha256(b"").hexdigest()
    request = f"POST\n/\n{query}\nhost:{HOST}\n\nhost\n{body}"
    text = "\n".join(
        (
            "AWS4-HMAC-SHA256",
            given["X-Amz-Date"],
            "/".join(scope[1:]),
            hashlib.sha256(request.encode()).hexdigest(),
        )
    )
    key = f"AWS4{secret}".encode()
    for part in scope[1:]:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _denied(why: str) -> AwsError:
    return AwsError("AccessDeniedException", why, status=403)
