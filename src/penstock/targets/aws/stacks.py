"""CloudFormation stacks of one deployment: how they are, what would change, and changing them.

Everything goes through change sets. A stack that does not carry the deployment's tag is somebody
else's, and is never touched, whatever its name. What is under way is never begun a second time: it
is followed to its end.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from penstock.ground.errors import CloudError, UserError
from penstock.plan.carrying_out import Tell
from penstock.plan.changes import Action, Change, StackChange
from penstock.plan.steps import Found
from penstock.targets.aws.account import Account
from penstock.targets.aws.change_sets import ChangeSets
from penstock.targets.aws.patience import Patience
from penstock.targets.aws.refusals import aws_errors, message_of
from penstock.targets.aws.stack import DEPLOYMENT_TAG, Stack

REVIEW = "REVIEW_IN_PROGRESS"
"""A stack that has change sets and nothing else."""
GOOD = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}
WRECKED = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "IMPORT_ROLLBACK_FAILED"}
STUCK = {"UPDATE_ROLLBACK_FAILED"}
PAUSED = {"CREATE_FAILED", "UPDATE_FAILED"}
"""What failed with its rollback switched off. AWS goes on from there with it off alone, and then
replaces nothing."""
REPLACING = {Action.REPLACE, Action.MAY_REPLACE}
BEGUN = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
PASSES_S = 2700.0
PASSING = re.compile(
    r"while it is in state|in-progress|dependent object|DependencyViolation", re.I
)
"""What is said of something that is held, but not for long: a component that is being scaled, a
group or subnet with interfaces that SageMaker or Lambda give back minutes after their end."""
CONSEQUENCE = "cancelled"
"""What CloudFormation says of resources that failed only because another one did."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A stack as it is."""

    name: str
    id: str
    status: str
    reason: str
    outputs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def found(self) -> Found:
        """What that means for a plan."""
        if self.status == REVIEW:
            return Found.ABSENT
        if self.status.endswith("IN_PROGRESS"):
            return Found.BUSY
        if self.status in STUCK:
            return Found.STUCK
        return Found.WRECKED if self.status in WRECKED else Found.PRESENT


@dataclass(frozen=True, slots=True)
class Failure:
    """A resource that failed, and what AWS says about it."""

    logical_id: str
    physical_id: str
    kind: str
    reason: str


class StackFailed(CloudError):
    """A stack did not come to a good end; `failures` are the resources that failed first.

    `began_ms` is the Unix time at which what failed began, milliseconds.
    """

    def __init__(self, stack: Seen, failures: tuple[Failure, ...], began_ms: int = 0) -> None:
        reasons = [f"{each.logical_id}: {each.reason}" for each in failures]
        super().__init__(
            f"{stack.name} is {stack.status}",
            why="; ".join(reasons) or stack.reason,
            where=f"stack {stack.name}",
        )
        self.stack, self.failures, self.began_ms = stack, failures, began_ms


class Stacks:
    """The stacks that carry one deployment's tag."""

    def __init__(self, account: Account, deployment: str) -> None:
        self._account, self._deployment = account, deployment
        self._client: Any = account.client("cloudformation")
        self._change_sets = ChangeSets(account)

    def find(self, name: str) -> Seen | None:
        """The stack called `name` (or with that id); none where there is none.

        Raises:
            UserError: there is one, and it is not this deployment's.
        """
        with aws_errors("CloudFormation"):
            try:
                told = self._client.describe_stacks(StackName=name)["Stacks"][0]
            except ClientError as error:
                if "does not exist" in message_of(error):
                    return None
                raise
        seen = Seen(
            told["StackName"],
            told["StackId"],
            told["StackStatus"],
            told.get("StackStatusReason", ""),
            {each["OutputKey"]: each["OutputValue"] for each in told.get("Outputs", ())},
            {each["Key"]: each["Value"] for each in told.get("Tags", ())},
        )
        self._refuse_foreign(seen)
        return seen

    def template(self, seen: Seen) -> tuple[dict[str, Any], dict[str, str]]:
        """The template that a stack was made from, and the values of its parameters."""
        with aws_errors("CloudFormation"):
            body = self._client.get_template(StackName=seen.id)["TemplateBody"]
            told = self._client.describe_stacks(StackName=seen.id)["Stacks"][0]
        given = {e["ParameterKey"]: e["ParameterValue"] for e in told.get("Parameters", ())}
        return (json.loads(body) if isinstance(body, str) else dict(body)), given

    def resources(self, seen: Seen) -> dict[str, tuple[str, str]]:
        """Type and physical id of each resource by its name in the template."""
        with aws_errors("CloudFormation"):
            pages = self._client.get_paginator("list_stack_resources").paginate(StackName=seen.id)
            return {
                each["LogicalResourceId"]: (each["ResourceType"], each["PhysicalResourceId"])
                for page in pages
                for each in page["StackResourceSummaries"]
                if each.get("PhysicalResourceId")
                and each["ResourceStatus"] not in {"DELETE_COMPLETE", "DELETE_SKIPPED"}
            }

    def preview(self, stack: Stack, bucket: str | None) -> StackChange:
        """What applying `stack` would change; nothing is left of the question.

        Of a stack that does not exist, or has to be made anew, everything is created, and AWS is
        not asked. Of one that something is under way with, nothing is known. `bucket` takes a
        template that is too large to be sent.
        """
        seen = self.find(stack.name)
        if seen is not None and seen.found in (Found.BUSY, Found.STUCK):
            return StackChange(stack.name, is_new=False, changes=())
        if seen is None or seen.found is not Found.PRESENT:
            resources = stack.template["Resources"]
            found = resources.items() if isinstance(resources, dict) else ()
            created = tuple(_creation(name, each) for name, each in found)
            return StackChange(stack.name, is_new=True, changes=created)
        with aws_errors("CloudFormation"):
            made = self._change_sets.make(stack, seen.id, bucket)
            try:
                named = tuple(_named(each, stack) for each in made.changes)
                return StackChange(stack.name, is_new=False, changes=named)
            finally:
                self._change_sets.forget(made)

    def apply(
        self,
        stack: Stack,
        shown: StackChange | None,
        bucket: str | None,
        tell: Tell,
        *,
        keep_wreck: bool = False,
    ) -> Seen:
        """Bring a stack to what it should be; returns it as it is then.

        Raises:
            UserError: it would change more than what was `shown`, or AWS cannot keep its wreck.
            StackFailed: it did not come to a good end.
        """
        seen = self.find(stack.name)
        exists = seen is not None and seen.status != REVIEW
        paused = seen is not None and seen.status in PAUSED
        with aws_errors("CloudFormation"):
            made = self._change_sets.make(stack, seen.id if seen and exists else None, bucket)
            replaced = [each.name for each in made.changes if each.action in REPLACING]
            if seen and paused and (replaced or not made.executable):
                self._change_sets.forget(made)
                self._take_back(seen, tell)
                return self.apply(stack, None, bucket, tell, keep_wreck=keep_wreck)
            if not made.changes and not made.executable:
                self._change_sets.forget(made)
                tell(f"{stack.name}: nothing to change")
                return self._must_find(stack.name)
            if exists and keep_wreck and replaced:
                self._change_sets.forget(made)
                raise _cannot_be_kept(stack.name, replaced)
            if shown is not None and not shown.allows(made.changes):
                self._change_sets.forget(made)
                raise UserError(
                    f"{stack.name} would change more than what was shown",
                    why="it was changed by somebody else meanwhile",
                    fix="Look at it again with `penstock diff`, then deploy again",
                )
            last = self._newest_event(made.stack)
            self._change_sets.execute(made, keep_wreck=keep_wreck or paused)
        settled = self._follow(made.stack, last, tell)
        if settled.status not in GOOD:
            raise self._failed(settled)
        return settled

    def _take_back(self, seen: Seen, tell: Tell) -> None:
        """Undo what failed with its rollback switched off, where AWS cannot go on from it."""
        if seen.status == "CREATE_FAILED":
            tell(f"{seen.name}: {seen.status} cannot be gone on from; it is made anew")
            self.remove(seen.name, tell)
            return
        tell(f"{seen.name}: {seen.status} cannot be gone on from; it is rolled back first")
        with aws_errors("CloudFormation"):
            last = self._newest_event(seen.id)
            self._client.rollback_stack(StackName=seen.id)
        settled = self._follow(seen.id, last, tell)
        if settled.found is not Found.PRESENT:
            raise self._failed(settled)

    def wait(self, name: str, tell: Tell) -> None:
        """Follow what is under way with a stack to its end, whatever that is."""
        seen = self.find(name)
        if seen is None:
            return
        settled = self._follow(seen.id, None, tell)
        if settled.status not in GOOD and settled.status != "DELETE_COMPLETE":
            for each in self.failures(settled):
                tell(f"{each.logical_id} had failed: {each.reason}")

    def mend(self, name: str, tell: Tell) -> None:
        """Go on with a rollback that got stuck.

        Raises:
            StackFailed: it got stuck again.
        """
        seen = self._must_find(name)
        with aws_errors("CloudFormation"):
            last = self._newest_event(seen.id)
            self._client.continue_update_rollback(StackName=seen.id)
        settled = self._follow(seen.id, last, tell)
        if settled.found is Found.STUCK:
            failed = self._failed(settled)
            names = " ".join(each.logical_id for each in failed.failures)
            failed.fix = (
                "Mend what it names, or leave these behind: aws cloudformation "
                f"continue-update-rollback --stack-name {name} --resources-to-skip {names}"
            )
            raise failed

    def remove(self, name: str, tell: Tell) -> None:
        """Delete a stack; once more where that failed, for some resources need others to be gone.

        What is held by something that passes by itself is tried again for `PASSES_S`.

        Raises:
            StackFailed: something cannot be deleted.
        """
        seen = self.find(name)
        if seen is None:
            return
        patience, tries = Patience(f"the deletion of {name}", still_s=PASSES_S), 0
        while True:
            with aws_errors("CloudFormation"):
                last = self._newest_event(seen.id)
                self._client.delete_stack(StackName=seen.id)
            settled = self._follow(seen.id, last, tell)
            if settled.status == "DELETE_COMPLETE":
                return
            failed, tries = self._failed(settled), tries + 1
            passes = bool(PASSING.search(str(failed.why)))
            if (tries > 1 and not passes) or patience.quiet_s > PASSES_S:
                raise failed
            tell(f"{name}: {settled.status}, {'it is let go soon: ' if passes else ''}once more")
            patience.pause()

    def failures(self, seen: Seen) -> tuple[Failure, ...]:
        """The resources that failed in the last operation on a stack, the first one first."""
        return self._failed(seen).failures

    def _failed(self, seen: Seen) -> StackFailed:
        failed: dict[str, Failure] = {}
        with aws_errors("CloudFormation"):
            events = list(self._events(seen.id, None))
        for each in reversed(events):
            reason = each.get("ResourceStatusReason", "")
            name, physical = each["LogicalResourceId"], each.get("PhysicalResourceId", "")
            if not each["ResourceStatus"].endswith("FAILED") or CONSEQUENCE in reason.lower():
                continue
            if physical != seen.id and name not in failed:
                failed[name] = Failure(name, physical, each["ResourceType"], reason)
        began_ms = int(events[-1]["Timestamp"].timestamp() * 1000) if events else 0
        return StackFailed(seen, tuple(failed.values()), began_ms)

    def _refuse_foreign(self, seen: Seen) -> None:
        if seen.tags.get(DEPLOYMENT_TAG) == self._deployment:
            return
        if seen.status == REVIEW and self._change_sets.are_ours(seen.id):
            return
        raise UserError(
            f"there is a stack {seen.name} that Penstock did not make",
            why=f"it has no tag {DEPLOYMENT_TAG} = {self._deployment}",
            fix="Choose another name in penstock.yaml",
        )

    def _must_find(self, name: str) -> Seen:
        seen = self.find(name)
        if seen is None:
            raise CloudError(f"the stack {name} is gone", why="somebody deleted it meanwhile")
        return seen

    def _follow(self, stack_id: str, last: str | None, tell: Tell) -> Seen:
        """Tell what happens after the event `last` until nothing is under way any more."""
        patience = Patience(f"stack {stack_id.split('/')[1]}")
        states: dict[str, str] = {}
        while True:
            seen = self._must_find(stack_id)
            with aws_errors("CloudFormation"):
                news = list(self._events(stack_id, last))
            for event in reversed(news):
                states[event["LogicalResourceId"]] = event["ResourceStatus"]
                _tell_event(event, tell)
            if news:
                last = news[0]["EventId"]
                patience.news()
            if seen.status == REVIEW or not seen.status.endswith("IN_PROGRESS"):
                return seen
            if patience.is_time_for_a_word():
                busy = [name for name, each in states.items() if each.endswith("IN_PROGRESS")]
                names = ", ".join(name for name in busy if name != seen.name) or seen.name
                tell(f"waiting for {names}: nothing new for {patience.quiet_s:.0f} s")
            patience.pause()

    def _newest_event(self, stack_id: str) -> str | None:
        told = self._client.describe_stack_events(StackName=stack_id)["StackEvents"]
        return str(told[0]["EventId"]) if told else None

    def _events(self, stack_id: str, last: str | None) -> Iterator[dict[str, Any]]:
        """Events after `last`, or of the whole last operation, newest first."""
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
        for page in pages:
            for event in page["StackEvents"]:
                if event["EventId"] == last:
                    return
                yield event
                begins = event["ResourceStatus"] in BEGUN
                if last is None and begins and event["PhysicalResourceId"] == stack_id:
                    return


def _cannot_be_kept(name: str, replaced: list[str]) -> UserError:
    return UserError(
        f"--no-rollback cannot be had for this change of {name}",
        why=f"AWS replaces nothing without a rollback, and {', '.join(replaced)} would be",
        fix="Deploy without it; a failure is told with its reasons all the same",
    )


def _tell_event(event: dict[str, Any], tell: Tell) -> None:
    status, reason = event["ResourceStatus"], event.get("ResourceStatusReason", "")
    if event["PhysicalResourceId"] == event["StackId"]:
        if not status.endswith("CLEANUP_IN_PROGRESS"):
            tell(f"{event['StackName']}: {status}")
    elif status.endswith(("COMPLETE", "FAILED", "SKIPPED")):
        line = f"{event['LogicalResourceId']}: {status}"
        tell(f"{line}: {reason}" if reason and "FAILED" in status else line)


def _creation(name: str, resource: dict[str, Any]) -> Change:
    known_as = str(resource.get("Properties", {}).get("InferenceComponentName", ""))
    return Change(Action.CREATE, name, resource["Type"], known_as=known_as)


def _named(change: Change, stack: Stack) -> Change:
    """A change under the name that users know; of what is new, AWS does not tell it."""
    resources = stack.template["Resources"]
    if change.action is not Action.CREATE or not isinstance(resources, dict):
        return change
    return _creation(change.name, resources[change.name])
