"""How the front door writes errors on OpenAI's route: its own, and the container's in quotes.

As measured by others on a real endpoint; see `docs/sagemaker.md`.
"""

import json
import re

from penstock.rehearsal.refusals import AwsError
from penstock.rehearsal.service import Answer

VARIANT = "Kl6NPmsGIHdsibbMO7hO"


def openai_refusal(error: AwsError) -> Answer:
    """Write an error of the front door itself."""
    plain = re.sub("(?<!^)(?=[A-Z])", "_", error.code).lower()
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    return _answer(error.status, error.message, kind, plain, error.code)


def quoted_refusal(status: int, body: str, account: str) -> Answer:
    """Write an error of the container's: `body` stands in the message, word for word."""
    side = "client" if status < 500 else "server"
    message = (
        f'Received {side} error ({status}) from {VARIANT} with message "{body}". '
        f"See the logs in account {account} for more information."
    )
    outer = 400 if status < 500 else 500
    return _answer(outer, message, "server_error", "model_error", "ModelError")


def _answer(status: int, message: str, kind: str, code: str, name: str) -> Answer:
    said = {"error": {"message": message, "type": kind, "code": code}}
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": name}
    return Answer(status, headers, json.dumps(said).encode())
