"""CloudFormation's operations, as botocore calls them."""

from typing import Any

from penstock.rehearsal.cloud import Cloud, unique
from penstock.rehearsal.cloudformation.execution import Execution
from penstock.rehearsal.cloudformation.planning import Planner
from penstock.rehearsal.cloudformation.records import ChangeSet, Deck, Stack
from penstock.rehearsal.cloudformation.template import flaw, parse
from penstock.rehearsal.permissions.principals import Principals
from penstock.rehearsal.refusals import AwsError

Parameters = dict[str, Any]
PAUSED = {"CREATE_FAILED", "UPDATE_FAILED"}
"""How a stack is whose change failed with its rollback switched off."""


class CloudFormation:
    """Stacks and change sets."""

    def __init__(self, cloud: Cloud, deck: Deck, execution: Execution) -> None:
        self._cloud, self._deck, self._execution = cloud, deck, execution
        self._planner, self._principals = Planner(cloud), Principals(cloud)

    def create_change_set(self, given: Parameters) -> Parameters:
        """Plan a change of a stack, or a new stack; nothing is changed yet."""
        kind = given.get("ChangeSetType", "UPDATE")
        stack = self._find(given["StackName"])
        if kind == "CREATE":
            if stack is not None and stack.status != "REVIEW_IN_PROGRESS":
                raise AwsError(
                    "AlreadyExistsException",
                    f"Stack [{stack.name}] already exists and cannot be created again with the "
                    f"changeSet [{given['ChangeSetName']}].",
                )
            stack = stack or self._begin_stack(given["StackName"])
        elif stack is None or stack.status == "REVIEW_IN_PROGRESS":
            raise flaw(f"Stack [{given['StackName']}] does not exist")
        elif not _can_update(stack):
            raise flaw(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        if any(
            each.name == given["ChangeSetName"] and each.stack is stack
            for each in self._deck.change_sets.values()
        ):
            raise AwsError(
                "AlreadyExistsException", f"ChangeSet {given['ChangeSetName']} already exists"
            )
        change_set = self._planned(given, stack, kind)
        self._deck.change_sets[change_set.id] = change_set
        return {"Id": change_set.id, "StackId": stack.id}

    def describe_change_set(self, given: Parameters) -> Parameters:
        """Return a change set with its changes."""
        found = self._change_set(given)
        return {
            "ChangeSetName": found.name,
            "ChangeSetId": found.id,
            "StackId": found.stack.id,
            "StackName": found.stack.name,
            "Parameters": _pairs(found.parameters),
            "CreationTime": found.created,
            "ExecutionStatus": found.execution,
            "Status": found.status,
            "StatusReason": found.reason or None,
            "Capabilities": list(found.capabilities),
            "Tags": _tags(found.tags),
            "Changes": found.changes,
        }

    def list_change_sets(self, given: Parameters) -> Parameters:
        """Return a stack's change sets."""
        stack = self._stack(given["StackName"])
        return {
            "Summaries": [
                {
                    "StackId": stack.id,
                    "StackName": stack.name,
                    "ChangeSetId": each.id,
                    "ChangeSetName": each.name,
                    "ExecutionStatus": each.execution,
                    "Status": each.status,
                    "CreationTime": each.created,
                }
                for each in self._deck.change_sets.values()
                if each.stack is stack
            ]
        }

    def execute_change_set(self, given: Parameters) -> Parameters:
        """Begin to make the changes."""
        change_set = self._change_set(given)
        if change_set.execution != "AVAILABLE":
            raise AwsError(
                "InvalidChangeSetStatus",
                f"ChangeSet [{change_set.id}] cannot be executed in its current status of "
                f"[{change_set.status}]",
            )
        with self._deck.lock:
            if change_set.stack.status.endswith("IN_PROGRESS") and change_set.kind != "CREATE":
                raise flaw(f"Stack:{change_set.stack.id} is in {change_set.stack.status} state")
            state = change_set.stack.status
            if state in PAUSED and not given.get("DisableRollback"):
                raise flaw(
                    f"This stack is currently in a non-terminal [{state}] state. To update the "
                    "stack from this state, please use the disable-rollback parameter with "
                    "update-stack API. To rollback to the last known good state, use the "
                    "rollback-stack API"
                )
            change_set.execution = "EXECUTE_IN_PROGRESS"
            change_set.stack.disable_rollback = bool(given.get("DisableRollback"))
            change_set.stack.caller = self._caller()
            self._execution.begin(change_set)
            for other in list(self._deck.change_sets.values()):
                if other.stack is change_set.stack and other is not change_set:
                    del self._deck.change_sets[other.id]
        return {}

    def delete_change_set(self, given: Parameters) -> Parameters:
        """Forget a change set."""
        try:
            found = self._change_set(given)
        except AwsError:
            return {}
        if found.execution == "EXECUTE_IN_PROGRESS":
            raise AwsError("InvalidChangeSetStatus", f"ChangeSet [{found.id}] is being executed")
        del self._deck.change_sets[found.id]
        return {}

    def delete_stack(self, given: Parameters) -> Parameters:
        """Begin to delete a stack; one that does not exist is deleted already."""
        stack = self._find(given["StackName"])
        if stack is None:
            return {}
        if stack.protected:
            raise flaw(
                f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            )
        retain = given.get("RetainResources", [])
        if retain and stack.status != "DELETE_FAILED":
            raise flaw("RetainResources may be given for a stack in DELETE_FAILED alone")
        with self._deck.lock:
            if stack.status == "DELETE_IN_PROGRESS":
                return {}
            if stack.status.endswith("IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
                raise flaw(f"Stack [{stack.id}] cannot be deleted while in status {stack.status}")
            stack.caller = self._caller()
            self._execution.begin_delete(stack, retain)
        for change_set in list(self._deck.change_sets.values()):
            if change_set.stack is stack:
                del self._deck.change_sets[change_set.id]
        return {}

    def continue_update_rollback(self, given: Parameters) -> Parameters:
        """Go on with a rollback that got stuck."""
        stack = self._stack(given["StackName"])
        if stack.status != "UPDATE_ROLLBACK_FAILED":
            raise flaw(f"Stack:{stack.id} is in {stack.status} state and can not be rolled back.")
        self._execution.begin_going_back(stack, given.get("ResourcesToSkip", ()))
        return {}

    def rollback_stack(self, given: Parameters) -> Parameters:
        """Undo a change that failed with its rollback switched off."""
        stack = self._stack(given["StackName"])
        with self._deck.lock:
            if stack.status not in PAUSED:
                raise flaw(
                    f"Stack:{stack.id} is in {stack.status} state and can not be rolled back."
                )
            self._execution.begin_rollback(stack)
        return {"StackId": stack.id}

    def describe_stacks(self, given: Parameters) -> Parameters:
        """Return one stack (by id also a deleted one), or all that exist."""
        if name := given.get("StackName"):
            return {"Stacks": [_told(self._stack(name, deleted=True))]}
        stacks = [each for each in self._deck.stacks.values() if each.deleted is None]
        return {"Stacks": [_told(each) for each in stacks]}

    def list_stacks(self, given: Parameters) -> Parameters:
        """Return summaries of the stacks in the states that are asked for."""
        wanted = given.get("StackStatusFilter") or ()
        return {
            "StackSummaries": [
                {
                    "StackId": each.id,
                    "StackName": each.name,
                    "CreationTime": each.created,
                    "StackStatus": each.status,
                }
                for each in self._deck.stacks.values()
                if not wanted or each.status in wanted
            ]
        }

    def describe_stack_events(self, given: Parameters) -> Parameters:
        """Return what happened, newest first."""
        stack = self._stack(given["StackName"], deleted=True)
        return {
            "StackEvents": [
                {
                    "StackId": stack.id,
                    "StackName": stack.name,
                    "EventId": each.id,
                    "LogicalResourceId": each.logical_id,
                    "PhysicalResourceId": each.physical_id,
                    "ResourceType": each.kind,
                    "Timestamp": each.at,
                    "ResourceStatus": each.status,
                    "ResourceStatusReason": each.reason or None,
                }
                for each in reversed(stack.events)
            ]
        }

    def describe_stack_resources(self, given: Parameters) -> Parameters:
        """Return a stack's resources."""
        stack = self._stack(given["StackName"], deleted=True)
        wanted = given.get("LogicalResourceId")
        return {
            "StackResources": [
                {
                    "StackName": stack.name,
                    "StackId": stack.id,
                    "LogicalResourceId": name,
                    "PhysicalResourceId": each.physical_id,
                    "ResourceType": each.kind,
                    "Timestamp": each.changed,
                    "ResourceStatus": each.status,
                    "ResourceStatusReason": each.reason or None,
                }
                for name, each in stack.resources.items()
                if wanted in {None, name}
            ]
        }

    def list_stack_resources(self, given: Parameters) -> Parameters:
        """Return summaries of a stack's resources."""
        found = self.describe_stack_resources(given)["StackResources"]
        for each in found:
            each["LastUpdatedTimestamp"] = each.pop("Timestamp")
        return {"StackResourceSummaries": found}

    def describe_stack_resource(self, given: Parameters) -> Parameters:
        """Return one resource of a stack."""
        found = self.describe_stack_resources(given)["StackResources"]
        if not found:
            raise flaw(
                f"Resource {given['LogicalResourceId']} does not exist for stack "
                f"{given['StackName']}"
            )
        found[0]["LastUpdatedTimestamp"] = found[0].pop("Timestamp")
        return {"StackResourceDetail": found[0]}

    def get_template(self, given: Parameters) -> Parameters:
        """Return the template as it was given."""
        if name := given.get("ChangeSetName"):
            text = self._change_set({**given, "ChangeSetName": name}).template
        else:
            text = self._stack(given["StackName"], deleted=True).template
        return {"TemplateBody": text, "StagesAvailable": ["Original"]}

    def validate_template(self, given: Parameters) -> Parameters:
        """Read a template and return its parameters."""
        tree = parse(self._template(given))
        return {
            "Parameters": [
                {"ParameterKey": name, "DefaultValue": str(each.get("Default", ""))}
                for name, each in tree.get("Parameters", {}).items()
            ]
        }

    def update_termination_protection(self, given: Parameters) -> Parameters:
        """Protect a stack from deletion, or not."""
        stack = self._stack(given["StackName"])
        stack.protected = given["EnableTerminationProtection"]
        return {"StackId": stack.id}

    def _planned(self, given: Parameters, stack: Stack, kind: str) -> ChangeSet:
        template = self._template(given, stack)
        old = stack.parameters
        parameters = {
            each["ParameterKey"]: (
                old.get(each["ParameterKey"], "")
                if each.get("UsePreviousValue")
                else each.get("ParameterValue", "")
            )
            for each in given.get("Parameters", ())
        }
        tags = {each["Key"]: each["Value"] for each in given.get("Tags", ())} or dict(stack.tags)
        capabilities = tuple(given.get("Capabilities", ()))
        evaluation = self._planner.evaluation(stack, template, parameters, stack.resources.get)
        self._planner.check(evaluation, capabilities)
        changes = self._planner.changes(stack, evaluation)
        arn = self._cloud.arn("cloudformation", f"changeSet/{given['ChangeSetName']}/{unique(32)}")
        found = ChangeSet(
            given["ChangeSetName"], arn, stack, kind, template, parameters, tags, capabilities,
            changes=[each.told() for each in changes],
        )  # fmt: skip
        tree, before = parse(template), parse(stack.template) if stack.template else {}
        same = tree.get("Outputs") == before.get("Outputs") and tags == stack.tags
        if not changes and same:
            found.status, found.execution = "FAILED", "UNAVAILABLE"
            found.reason = (
                "The submitted information didn't contain changes. Submit different information "
                "to create a change set."
            )
        return found

    def _template(self, given: Parameters, stack: Stack | None = None) -> str:
        if given.get("UsePreviousTemplate") and stack is not None:
            return stack.template
        if url := given.get("TemplateURL"):
            bucket, _, key = url.split("://", 1)[1].partition("/")[2].partition("/")
            if ".s3." in url:
                bucket, key = url.split("://")[1].split(".s3.")[0], url.split("/", 3)[3]
            answer = self._cloud.client("s3").get_object(Bucket=bucket, Key=key)
            return str(answer["Body"].read().decode())
        body = given.get("TemplateBody", "")
        if len(body) > 51_200:
            raise flaw("1 validation error detected: TemplateBody is longer than 51200")
        return str(body)

    def _caller(self) -> tuple[str, str] | None:
        if not self._cloud.enforces:
            return None
        principal = self._principals.of_key(self._cloud.signing.key)
        return (self._cloud.signing.key, principal.secret) if principal else None

    def _begin_stack(self, name: str) -> Stack:
        arn = self._cloud.arn("cloudformation", f"stack/{name}/{unique(32)}")
        stack = Stack(name, arn, "")
        stack.enter("REVIEW_IN_PROGRESS", "User Initiated")
        self._deck.stacks[arn] = stack
        return stack

    def _find(self, name: str) -> Stack | None:
        for stack in self._deck.stacks.values():
            if stack.deleted is None and name in {stack.name, stack.id}:
                return stack
        return None

    def _stack(self, name: str, *, deleted: bool = False) -> Stack:
        found = self._find(name) or (self._deck.stacks.get(name) if deleted else None)
        if found is None:
            raise flaw(f"Stack with id {name} does not exist")
        return found

    def _change_set(self, given: Parameters) -> ChangeSet:
        name = given["ChangeSetName"]
        if name in self._deck.change_sets:
            return self._deck.change_sets[name]
        stack = self._find(given.get("StackName", ""))
        for each in self._deck.change_sets.values():
            if each.name == name and each.stack is stack:
                return each
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", status=404)


def _can_update(stack: Stack) -> bool:
    good = {
        "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "CREATE_FAILED",
        "UPDATE_FAILED", "IMPORT_COMPLETE",
    }  # fmt: skip
    return stack.status in good


def _told(stack: Stack) -> Parameters:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "Parameters": _pairs(stack.parameters),
        "CreationTime": stack.created,
        "LastUpdatedTime": stack.updated,
        "DeletionTime": stack.deleted,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason or None,
        "DisableRollback": stack.disable_rollback,
        "Capabilities": list(stack.capabilities),
        "Outputs": stack.outputs,
        "Tags": _tags(stack.tags),
        "EnableTerminationProtection": stack.protected,
    }


def _pairs(parameters: dict[str, str]) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
