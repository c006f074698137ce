"""What boto3 raises, as errors of our tree: who refused, why, and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from penstock.ground.errors import CloudError, PenstockError, UserError

STALE = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidToken",
    "RequestExpired",
    "UnrecognizedClientException",
}
FORBIDDEN = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden"}
THROTTLED = {
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}


@contextmanager
def aws_errors(whom: str) -> Iterator[None]:
    """Turn what boto3 raises into errors of our tree.

    Raises:
        UserError: credentials are missing or have expired.
        CloudError: AWS refused for another reason, or cannot be reached.
    """
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise UserError(
            f"{whom} wants credentials",
            why="there are none in the environment, the profile or the machine's role",
            fix="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        ) from error
    except TokenRetrievalError as error:
        raise _stale(whom, str(error)) from error
    except NoRegionError as error:
        raise UserError(
            "no AWS region is known", fix="Set target.region, or AWS_REGION."
        ) from error
    except ClientError as error:
        raise _refused(whom, error) from error
    except BotoCoreError as error:
        raise CloudError(f"{whom} cannot be reached", why=str(error)) from error
    except ResponseParserError as error:
        raise CloudError(
            f"what answered is not {whom}",
            why=str(error).partition("\n")[0],
            fix="Look at proxies between, and at AWS_ENDPOINT_URL.",
        ) from error


def code_of(error: ClientError) -> str:
    """AWS's own name of an error."""
    return str(error.response.get("Error", {}).get("Code", "?"))


def message_of(error: ClientError) -> str:
    """What AWS says about an error."""
    return str(error.response.get("Error", {}).get("Message", ""))


def _refused(whom: str, error: ClientError) -> PenstockError:
    code, why = code_of(error), f"{code_of(error)}: {message_of(error)}"
    if code in STALE:
        return _stale(whom, why)
    if code in FORBIDDEN:
        return CloudError(
            f"{whom} refused {error.operation_name}",
            why=why,
            fix="Have it allowed; `penstock render --iam` prints what a deployment needs.",
        )
    if code in THROTTLED:
        return CloudError(
            f"{whom} has too many requests from this account",
            why=f"{why}, several times in a row",
            fix="Wait a minute and run it again: it goes on where it stopped.",
        )
    return CloudError(f"{whom} refused {error.operation_name}", why=why)


def _stale(whom: str, why: str) -> UserError:
    return UserError(
        f"{whom} does not take these credentials any more",
        why=why,
        fix="Sign in anew and run it again: it goes on where it stopped.",
    )
