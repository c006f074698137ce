"""Components beside the stack's own: boto3 against a stand-in over a real socket."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fakes.aws_answers import Refusal, fake_aws

from penstock.ground.errors import UserError
from penstock.plan.steps import Found, Verb
from penstock.targets.aws.account import Account
from penstock.targets.aws.stack import DEPLOYMENT_TAG
from penstock.targets.sagemaker.attached import AttachedPart
from penstock.targets.sagemaker.hosted import Hosting


def answer(operation: str, status: str, *, is_there: bool) -> Mapping[str, Any]:
    """What SageMaker says of the one component, alone or in the list of all."""
    late = {
        "InferenceComponentName": "late",
        "InferenceComponentArn": "arn:aws:sagemaker:eu-west-1:1:inference-component/late",
        "InferenceComponentStatus": status,
    }
    if operation == "ListInferenceComponents":
        return {"InferenceComponents": [late] if is_there else []}
    return late


class Late:
    """A component that somebody deletes; when its tags are asked for it is gone, or it is not."""

    def __init__(self, *, goes: bool, refuses: bool) -> None:
        self.is_there, self.goes, self.refuses = True, goes, refuses

    def __call__(self, operation: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if operation == "ListTags":
            self.is_there = not self.goes
            if self.refuses:
                raise Refusal("ValidationException", f"Could not find {body['ResourceArn']}.")
            return {"Tags": []}
        return answer(operation, "Deleting", is_there=self.is_there)


class Scaled:
    """A component of ours that begins to be scaled just before it is to be deleted."""

    def __init__(self) -> None:
        self.is_there, self.refused = True, 0

    def __call__(self, operation: str, _: Mapping[str, Any]) -> Mapping[str, Any]:
        if operation == "ListTags":
            return {"Tags": [{"Key": DEPLOYMENT_TAG, "Value": "bot"}]}
        if operation == "DeleteInferenceComponent" and not self.refused:
            self.refused += 1
            raise Refusal(
                "ValidationException",
                "Cannot delete it while it is in state UPDATE_RC_IN_PROGRESS.",
            )
        self.is_there &= operation != "DeleteInferenceComponent"
        return answer(operation, "InService", is_there=self.is_there)


def found(monkeypatch: pytest.MonkeyPatch, late: Late) -> Found:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    with fake_aws(late) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", aws.url)
        hosting = Hosting(Account("eu-west-1"))
        return AttachedPart(hosting, "penstock-bot", "bot", lambda: ["base"]).find()


@pytest.mark.parametrize("refuses", [False, True])
def test_what_goes_while_it_is_looked_at_is_nobodys(
    monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    assert found(monkeypatch, Late(goes=True, refuses=refuses)) is Found.ABSENT


def test_what_scales_just_then_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    scaled, told = Scaled(), list[str]()
    with fake_aws(scaled) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", aws.url)
        hosting = Hosting(Account("eu-west-1"))
        part = AttachedPart(hosting, "penstock-bot", "bot", lambda: ["base"])
        part.do(Verb.REMOVE, told.append)
    assert scaled.refused == 1
    assert told == ["late: being deleted"]


def test_what_stays_and_is_not_ours_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="did not make: late"):
        found(monkeypatch, Late(goes=False, refuses=False))
