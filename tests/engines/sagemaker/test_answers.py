"""What the front door of SageMaker says, told from what the model says."""

import json

import pytest

from penstock.engines.sagemaker.answers import read_answer
from penstock.ground.errors import EngineDied

ACCOUNT = "123456789012"
CONSOLE = f"See https://eu-west-1.console.aws.amazon.com/cloudwatch/home in account {ACCOUNT}"
ASLEEP = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be "
    "in-progress (if configured) or try to increase the capacity by invoking "
    "UpdateInferenceComponentRuntimeConfig API."
)


def front(message: str, code: str = "validation_error") -> bytes:
    return json.dumps({"error": {"message": message, "type": "x", "code": code}}).encode()


def quoting(body: str, status: int = 400) -> bytes:
    message = (
        f'Received client error ({status}) from Kl6NPmsGIHdsibbMO7hO with message "{body}". '
        f"{CONSOLE} for more information."
    )
    return front(message, "model_error")


def model_error(message: str = "no such tool", **more: object) -> str:
    return json.dumps({"error": {"message": message, "type": "BadRequestError", **more}})


@pytest.mark.parametrize("status", [400, 422, 429])
def test_the_models_own_words_are_handed_on_alone(status: int) -> None:
    said = model_error('say "it" twice', param="max_tokens", code=400)
    verdict = read_answer(400, quoting(said, status))
    assert (verdict.status, verdict.body.decode()) == (status, said)
    assert not verdict.asleep
    assert ACCOUNT.encode() not in verdict.body


def test_in_the_shape_of_invoke_endpoint_too() -> None:
    said = model_error()
    body = {"__type": "ModelError", "OriginalStatusCode": 400, "OriginalMessage": said,
            "Message": f"Received client error (400) in account {ACCOUNT}"}  # fmt: skip
    verdict = read_answer(424, json.dumps(body).encode())
    assert (verdict.status, verdict.body.decode()) == (400, said)


@pytest.mark.parametrize(
    "body",
    [
        front(ASLEEP),
        json.dumps({"message": ASLEEP, "__type": "ValidationError"}).encode(),
        front(ASLEEP.replace("Component has", "Component support-bot-base has")),
    ],
)
def test_scaled_to_zero(body: bytes) -> None:
    assert read_answer(400, body).asleep


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, front(ASLEEP)),
        (503, front(ASLEEP)),
        (400, front(f"the model says: {ASLEEP}")),
        (400, quoting(model_error(ASLEEP))),
        (400, quoting(ASLEEP)),
        (400, model_error(f"[input_value='{ASLEEP}']").encode()),
        (400, front("no capacity")),
    ],
)
def test_nobody_else_can_say_that_it_sleeps(status: int, body: bytes) -> None:
    """A client could have its own words echoed, and so be held for minutes at will."""
    assert not read_answer(status, body).asleep


@pytest.mark.parametrize(
    ("status", "body", "seen"),
    [
        (400, front(f"Endpoint support-bot of account {ACCOUNT} not found."), 502),
        (403, json.dumps({"message": "User is not authorized"}).encode(), 403),
        (429, front("Rate exceeded"), 429),
        (400, json.dumps({"__type": "ThrottlingException", "message": "x"}).encode(), 429),
        (503, b"<html>Service Unavailable</html>", 503),
        (500, front("Internal failure", "internal_failure"), 500),
        (400, quoting(model_error())[:-60], 502),
        (404, b"", 502),
    ],
)
def test_what_is_the_operators_is_kept_from_clients(status: int, body: bytes, seen: int) -> None:
    verdict = read_answer(status, body)
    assert (verdict.status, verdict.body) == (seen, b"")


def test_the_operators_log_gets_it() -> None:
    verdict = read_answer(400, front(f"Endpoint support-bot of account {ACCOUNT} not found."))
    assert verdict.told.startswith("validation_error: Endpoint support-bot")


def test_sixty_seconds_are_over() -> None:
    said = "Your invocation timed out while waiting for a response from container primary."
    verdict = read_answer(424, json.dumps({"__type": "ModelError", "Message": said}).encode())
    assert isinstance(verdict.error, EngineDied)
    assert "Stream it" in str(verdict.error)
