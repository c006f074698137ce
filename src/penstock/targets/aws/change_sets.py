"""Change sets: made, read, carried out, forgotten; those of runs that died are swept away."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from penstock.ground.errors import CloudError
from penstock.plan.changes import Action, Change
from penstock.targets.aws.account import Account
from penstock.targets.aws.patience import Patience
from penstock.targets.aws.refusals import code_of, message_of
from penstock.targets.aws.stack import Stack

PREFIX = "penstock-"
"""What the names of our change sets begin with."""
LARGEST_BYTES = 51_200
"""The largest template that is sent as it is; a larger one goes by S3."""
TEMPLATES = "templates/"
"""Where in the bucket large templates lie."""
NOT_EXECUTED = {"UNAVAILABLE", "AVAILABLE", "OBSOLETE"}
"""States of change sets that nobody has carried out."""
OVERTAKEN = {"ChangeSetNotFound", "ChangeSetNotFoundException", "InvalidChangeSetStatus"}
"""What is said of a change set after another one of its stack was carried out or begun."""
SAME = ("didn't contain changes", "No updates are to be performed")
"""What AWS says where nothing would change."""
COMPONENT = "AWS::SageMaker::InferenceComponent"
"""Resources that users know by another name than the template's."""
ACTIONS = {"Add": Action.CREATE, "Remove": Action.REMOVE}
REPLACEMENTS = {"True": Action.REPLACE, "Conditional": Action.MAY_REPLACE}


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """A change set; one that is not `executable` changes nothing at all."""

    id: str
    stack: str
    changes: tuple[Change, ...]
    executable: bool


class ChangeSets:
    """Those of one account; what boto3 raises is left as it is."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._client: Any = account.client("cloudformation")

    def make(self, stack: Stack, existing: str | None, bucket: str | None) -> ChangeSet:
        """A change set for the stack with the id `existing`, or for a new one.

        Raises:
            CloudError: AWS cannot make it.
        """
        self._sweep(existing or stack.name)
        body = json.dumps(stack.template, separators=(",", ":"))
        made = self._client.create_change_set(
            StackName=existing or stack.name,
            ChangeSetName=f"{PREFIX}{uuid.uuid4().hex}",
            ChangeSetType="UPDATE" if existing else "CREATE",
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in stack.parameters.items()
            ],
            Capabilities=list(stack.capabilities),
            Tags=[{"Key": name, "Value": value} for name, value in stack.tags.items()],
            **self._body(body, bucket),
        )
        return self._ready(made["Id"], made["StackId"], stack.name)

    def execute(self, change_set: ChangeSet, *, keep_wreck: bool) -> None:
        """Begin to carry it out; `keep_wreck` leaves what was made where it fails.

        Raises:
            CloudError: somebody else has begun to change the stack: of two who deploy at once
                CloudFormation lets the first one.
        """
        try:
            self._client.execute_change_set(
                ChangeSetName=change_set.id, **({"DisableRollback": True} if keep_wreck else {})
            )
        except ClientError as error:
            if code_of(error) not in OVERTAKEN:
                raise
            raise CloudError(
                "somebody else changes this stack at the same time",
                why=message_of(error),
                fix="Run it again: it follows what is under way, and shows what is left to do",
                where=change_set.stack,
            ) from error

    def forget(self, change_set: ChangeSet) -> None:
        """Delete it."""
        self._client.delete_change_set(ChangeSetName=change_set.id)

    def are_ours(self, stack: str) -> bool:
        """Whether every change set of a stack is one of ours."""
        return all(each["ChangeSetName"].startswith(PREFIX) for each in self._of(stack))

    def _body(self, body: str, bucket: str | None) -> dict[str, str]:
        if len(body.encode()) <= LARGEST_BYTES:
            return {"TemplateBody": body}
        if bucket is None:
            raise CloudError(f"the template has more than {LARGEST_BYTES} bytes, and no bucket")
        key = f"{TEMPLATES}{hashlib.sha256(body.encode()).hexdigest()[:16]}.json"
        self._account.client("s3").put_object(Bucket=bucket, Key=key, Body=body.encode())
        suffix = "amazonaws.com.cn" if self._account.region.startswith("cn-") else "amazonaws.com"
        return {"TemplateURL": f"https://{bucket}.s3.{self._account.region}.{suffix}/{key}"}

    def _sweep(self, stack: str) -> None:
        """Forget what runs that died have left."""
        try:
            left = [each for each in self._of(stack) if each["ChangeSetName"].startswith(PREFIX)]
        except ClientError as error:
            if "does not exist" in message_of(error):
                return
            raise
        for each in left:
            if each.get("ExecutionStatus") in NOT_EXECUTED:
                self._client.delete_change_set(ChangeSetName=each["ChangeSetId"])

    def _of(self, stack: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_change_sets").paginate(StackName=stack)
        return (each for page in pages for each in page["Summaries"])

    def _ready(self, name: str, stack_id: str, stack: str) -> ChangeSet:
        patience = Patience(f"a change set of {stack}", still_s=600)
        while True:
            told = self._client.describe_change_set(ChangeSetName=name)
            if told["Status"] == "CREATE_COMPLETE":
                return ChangeSet(name, stack_id, tuple(self._changes(told)), executable=True)
            if told["Status"] == "FAILED":
                reason = told.get("StatusReason", "")
                if any(words in reason for words in SAME):
                    return ChangeSet(name, stack_id, (), executable=False)
                self._client.delete_change_set(ChangeSetName=name)
                raise CloudError(f"AWS cannot change {stack} so", why=reason)
            patience.pause()

    def _changes(self, told: dict[str, Any]) -> Iterator[Change]:
        while True:
            yield from (_change(each["ResourceChange"]) for each in told["Changes"])
            if not told.get("NextToken"):
                return
            told = self._client.describe_change_set(
                ChangeSetName=told["ChangeSetId"], NextToken=told["NextToken"]
            )


def _change(told: dict[str, Any]) -> Change:
    action = ACTIONS.get(told["Action"]) or REPLACEMENTS.get(
        told.get("Replacement", ""), Action.CHANGE
    )
    named = (each.get("Target", {}) for each in told.get("Details", ()))
    properties = dict.fromkeys(each.get("Name") or each.get("Attribute", "") for each in named)
    name, kind = told["LogicalResourceId"], told["ResourceType"]
    physical = told.get("PhysicalResourceId", "")
    known_as = physical.rpartition("/")[2] if kind == COMPONENT else ""
    return Change(action, name, kind, tuple(each for each in properties if each), known_as)
