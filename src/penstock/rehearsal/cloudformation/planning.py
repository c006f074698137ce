"""What a template would change in a stack: the change set before it is carried out."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.cloudformation import catalogue, schema
from penstock.rehearsal.cloudformation.records import Made, Stack
from penstock.rehearsal.cloudformation.template import (
    Evaluation,
    Tree,
    dependencies,
    flaw,
    parse,
    settle,
)

UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"
IAM = "AWS::IAM::"


@dataclass(frozen=True, slots=True)
class Change:
    """One resource's change; `replaces` is True, False or None (when it depends)."""

    action: str
    logical_id: str
    kind: str
    physical_id: str = ""
    replaces: bool | None = False
    properties: tuple[str, ...] = ()
    recreating: frozenset[str] = frozenset()
    deletion_policy: str = "Delete"

    def told(self) -> dict[str, Any]:
        """Return the change as DescribeChangeSet tells it."""
        said: dict[str, Any] = {
            "Action": self.action,
            "LogicalResourceId": self.logical_id,
            "ResourceType": self.kind,
        }
        if self.physical_id:
            said["PhysicalResourceId"] = self.physical_id
        if self.action == "Remove":
            said["PolicyAction"] = {"Delete": "Delete"}.get(self.deletion_policy, "Retain")
        if self.action == "Modify":
            said["Replacement"] = {True: "True", False: "False", None: "Conditional"}[
                self.replaces
            ]
            said["Scope"] = ["Properties"]
            said["Details"] = [self._detail(name) for name in self.properties]
        return {"Type": "Resource", "ResourceChange": said}

    def _detail(self, name: str) -> dict[str, Any]:
        again = name in self.recreating
        return {
            "Target": {
                "Attribute": "Properties",
                "Name": name,
                "RequiresRecreation": "Always" if again else "Never",
            },
            "Evaluation": "Dynamic" if self.replaces is None else "Static",
            "ChangeSource": "DirectModification",
        }


class Planner:
    """Evaluates templates against stacks."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def evaluation(
        self,
        stack: Stack,
        template: str,
        given: Mapping[str, str],
        found: Callable[[str], Made | None],
    ) -> Evaluation:
        """Return the template with its parameters; `found` gives what exists already."""
        tree = parse(template)
        ssm = self._cloud.client("ssm")

        def made(name: str) -> str | None:
            one = found(name)
            return one.physical_id if one else None

        def attribute(name: str, key: str) -> Any:
            one = found(name)
            if one is None:
                return None
            return _attribute(one, key)

        return Evaluation(
            tree,
            settle(tree, given, lambda name: ssm.get_parameter(Name=name)["Parameter"]["Value"]),
            {
                "AWS::Region": self._cloud.region,
                "AWS::AccountId": self._cloud.account,
                "AWS::Partition": "aws",
                "AWS::StackName": stack.name,
                "AWS::StackId": stack.id,
                "AWS::URLSuffix": "amazonaws.com",
                "AWS::NotificationARNs": "",
            },
            made,
            attribute,
            self._resolve,
            unknown=UNKNOWN,
        )

    def check(self, evaluation: Evaluation, capabilities: tuple[str, ...]) -> None:
        """Raise ValidationError for types, properties and references that cannot be."""
        resources = evaluation.resources()
        for name, each in resources.items():
            catalogue.kind(each["Type"])
            properties = evaluation.value(each.get("Properties", {}))
            schema.check(name, each["Type"], properties, self._cloud.region)
            for other in _named(each.get("DependsOn", [])):
                if other not in evaluation.tree["Resources"]:
                    raise flaw(
                        "Template format error: Unresolved resource dependencies "
                        f"[{other}] in the Resources block of the template"
                    )
        order(resources)
        self._check_capabilities(evaluation, resources, capabilities)

    def changes(self, stack: Stack, evaluation: Evaluation) -> list[Change]:
        """Return what would be added, changed and removed, in the order of the template."""
        resources = evaluation.resources()
        found: dict[str, Change] = {}
        for name in order(resources):
            found[name] = self._change(stack, name, resources[name], evaluation, found)
        changes = [found[name] for name in resources if found[name].action]
        for name, made in stack.resources.items():
            if name not in resources:
                changes.append(
                    Change(
                        "Remove", name, made.kind, made.physical_id,
                        deletion_policy=made.deletion_policy,
                    )
                )  # fmt: skip
        return changes

    def _change(
        self, stack: Stack, name: str, resource: Tree, evaluation: Evaluation,
        before: Mapping[str, Change],
    ) -> Change:  # fmt: skip
        kind = resource["Type"]
        made = stack.resources.get(name)
        if made is None or made.kind != kind or made.status.endswith("FAILED"):
            return Change("Add", name, kind)
        pending = {
            each.logical_id
            for each in before.values()
            if each.action == "Add" or (each.action == "Modify" and each.replaces is not False)
        }
        evaluation.made = lambda other: _known(stack, other, pending, lambda m: m.physical_id)
        evaluation.attribute = lambda other, key: _known(
            stack, other, pending, lambda m: _attribute(m, key)
        )
        new = evaluation.value(resource.get("Properties", {}))
        names = differing(made.properties, new)
        if not names:
            return Change("", name, kind, made.physical_id)
        fatal = set(names) & schema.create_only(kind, self._cloud.region)
        open_ = [each for each in fatal if UNKNOWN in str(new.get(each))]
        replaces = None if fatal and len(open_) == len(fatal) else bool(fatal)
        return Change("Modify", name, kind, made.physical_id, replaces, names, frozenset(fatal))

    def _check_capabilities(
        self, evaluation: Evaluation, resources: Mapping[str, Tree], given: tuple[str, ...]
    ) -> None:
        own = {name: each for name, each in resources.items() if each["Type"].startswith(IAM)}
        named = [
            name
            for name, each in own.items()
            if {"RoleName", "ManagedPolicyName", "InstanceProfileName"}
            & set(each.get("Properties", {}))
        ]
        if named and "CAPABILITY_NAMED_IAM" not in given:
            raise _incapable("CAPABILITY_NAMED_IAM")
        if own and not {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"} & set(given):
            raise _incapable("CAPABILITY_IAM")

    def _resolve(self, service: str, what: str) -> str:
        if service != "secretsmanager":
            answer = self._cloud.client("ssm").get_parameter(
                Name=what.split(":", maxsplit=1)[0], WithDecryption=True
            )
            return str(answer["Parameter"]["Value"])
        secret, _, key = what.partition(":SecretString")
        text = self._cloud.client("secretsmanager").get_secret_value(SecretId=secret)[
            "SecretString"
        ]
        name = key.strip(":").split(":")[0]
        return str(json.loads(text)[name]) if name else str(text)


def order(resources: Mapping[str, Tree]) -> list[str]:
    """Return the names so that what is needed comes first; raises for a circle."""
    needs = {
        name: set(dependencies(name, each, set(resources))) for name, each in resources.items()
    }
    done: list[str] = []
    while needs:
        ready = [name for name, wants in needs.items() if wants <= set(done)]
        if not ready:
            raise flaw(f"Circular dependency between resources: [{', '.join(sorted(needs))}]")
        done += ready
        for name in ready:
            del needs[name]
    return done


def differing(old: Tree, new: Tree) -> tuple[str, ...]:
    """Return the properties that are not the same."""
    return tuple(
        name for name in sorted(set(old) | set(new)) if not _same(old.get(name), new.get(name))
    )


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return str(old) == str(new)


def _attribute(made: Made, key: str) -> Any:
    value = made.attributes.get(key)
    for step in key.split(".") if value is None else ():
        value = (value or made.attributes).get(step)
    if value is None:
        raise flaw(
            f"Template error: resource {made.logical_id} does not support attribute type {key} "
            "in Fn::GetAtt"
        )
    return value


def _known(stack: Stack, name: str, pending: set[str], read: Callable[[Made], Any]) -> Any:
    made = stack.resources.get(name)
    return None if made is None or name in pending else read(made)


def _named(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _incapable(capability: str) -> Exception:
    error = flaw(f"Requires capabilities : [{capability}]")
    error.code = "InsufficientCapabilitiesException"
    return error
