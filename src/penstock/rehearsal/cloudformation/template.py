"""A template, read and evaluated: parameters, conditions, intrinsic functions, dependencies."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from penstock.rehearsal.refusals import AwsError

NO_VALUE = object()
SECTIONS = {
    "AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings", "Conditions",
    "Resources", "Outputs", "Rules",
}  # fmt: skip
RESOURCE_KEYS = {
    "Type", "Properties", "DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy",
    "Metadata", "UpdatePolicy", "CreationPolicy",
}  # fmt: skip
_VARIABLE = re.compile(r"\$\{(!?)([A-Za-z0-9_.:]+)\}")
_DYNAMIC = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^}]*)\}\}")
Tree = dict[str, Any]


def flaw(message: str) -> AwsError:
    """Return what CloudFormation says to a template or call that is wrong."""
    return AwsError("ValidationError", message)


def parse(text: str) -> Tree:
    """Return the template as it is written, JSON or YAML without short forms."""
    try:
        tree = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise flaw(f"Template format error: {error}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("Resources"), dict):
        raise flaw("Template format error: At least one Resources member must be defined.")
    if odd := set(tree) - SECTIONS:
        raise flaw(f"Invalid template property or properties [{', '.join(sorted(odd))}]")
    if not tree["Resources"]:
        raise flaw("Template format error: At least one Resources member must be defined.")
    for name, resource in tree["Resources"].items():
        if odd := set(resource) - RESOURCE_KEYS:
            raise flaw(f"Invalid template resource property {sorted(odd)} in {name}")
    return tree


@dataclass(slots=True)
class Evaluation:
    """A template with its parameters: turns intrinsic functions into values.

    `made` gives Ref and `attribute` gives GetAtt of resources that exist; both may answer None,
    which means that it is not known yet (in a change set).
    """

    tree: Tree
    parameters: Mapping[str, Any]
    pseudo: Mapping[str, str]
    made: Callable[[str], str | None]
    attribute: Callable[[str, str], Any]
    resolve: Callable[[str, str], str]
    unknown: str = "{{unknown}}"
    _conditions: dict[str, bool] = field(default_factory=dict)

    def condition(self, name: str) -> bool:
        """Whether the condition holds."""
        if name not in self.tree.get("Conditions", {}):
            raise flaw(f"Template error: unresolved condition dependency {name}")
        if name not in self._conditions:
            self._conditions[name] = self._truth(self.tree["Conditions"][name])
        return self._conditions[name]

    def resources(self) -> dict[str, Tree]:
        """Return the resources whose condition holds, as they are written."""
        return {
            name: each
            for name, each in self.tree["Resources"].items()
            if "Condition" not in each or self.condition(each["Condition"])
        }

    def value(self, tree: Any) -> Any:
        """Return `tree` with every intrinsic function evaluated and no `AWS::NoValue`."""
        if isinstance(tree, dict):
            if len(tree) == 1:
                (name, argument), *_ = tree.items()
                if name == "Ref" or name.startswith("Fn::"):
                    return self._call(name, argument)
            values = {key: self.value(member) for key, member in tree.items()}
            return {key: member for key, member in values.items() if member is not NO_VALUE}
        if isinstance(tree, list):
            members = [self.value(member) for member in tree]
            return [member for member in members if member is not NO_VALUE]
        if isinstance(tree, str) and "{{resolve:" in tree:
            if self.unknown in tree:  # a secret of this template, which is not made yet
                return self.unknown
            return _DYNAMIC.sub(lambda found: self.resolve(found[1], found[2]), tree)
        return tree

    def _call(self, name: str, argument: Any) -> Any:
        known: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": lambda a: a[0].join(str(each) for each in self._list(a[1])),
            "Fn::Select": lambda a: self._list(a[1])[int(self.value(a[0]))],
            "Fn::Split": lambda a: str(self.value(a[1])).split(a[0]),
            "Fn::If": lambda a: self.value(a[1] if self.condition(a[0]) else a[2]),
            "Fn::Base64": lambda a: base64.b64encode(str(self.value(a)).encode()).decode(),
            "Fn::FindInMap": self._find,
            "Fn::GetAZs": lambda a: [f"{self.pseudo['AWS::Region']}{zone}" for zone in "abc"],
            "Fn::ToJsonString": lambda a: json.dumps(self.value(a)),
        }
        if name not in known:
            raise flaw(f"Template error: the stand-in does not know {name}")
        return known[name](argument)

    def _list(self, tree: Any) -> list[Any]:
        value = self.value(tree)
        if isinstance(value, str):
            return value.split(",")
        return list(value)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        if name not in self.tree["Resources"]:
            raise flaw(
                "Template format error: Unresolved resource dependencies "
                f"[{name}] in the Resources block of the template"
            )
        return self.made(name) or self.unknown

    def _get_att(self, argument: Any) -> Any:
        name, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
        if name not in self.tree["Resources"]:
            raise flaw(
                f"Template error: instance of Fn::GetAtt references undefined resource {name}"
            )
        value = self.attribute(name, self.value(attribute))
        return self.unknown if value is None else value

    def _sub(self, argument: Any) -> str:
        text, variables = argument if isinstance(argument, list) else (argument, {})

        def put(found: re.Match[str]) -> str:
            name = found[2]
            if found[1]:
                return "${" + name + "}"
            if name in variables:
                return str(self.value(variables[name]))
            if "." in name:
                return str(self._get_att(name))
            return str(self._ref(name))

        return self.value(_VARIABLE.sub(put, text)) if text else ""

    def _find(self, argument: list[Any]) -> Any:
        name, top, second = (self.value(each) for each in argument[:3])
        try:
            return self.tree["Mappings"][name][top][second]
        except KeyError as error:
            raise flaw(
                f"Template error: Unable to get mapping for {name}::{top}::{second}"
            ) from error

    def _truth(self, tree: Tree) -> bool:
        (name, argument), *_ = tree.items()
        if name == "Fn::Equals":
            return str(self.value(argument[0])) == str(self.value(argument[1]))
        if name == "Fn::Not":
            return not self._truth(argument[0])
        if name == "Fn::And":
            return all(self._truth(each) for each in argument)
        if name == "Fn::Or":
            return any(self._truth(each) for each in argument)
        if name == "Condition":
            return self.condition(argument)
        raise flaw(f"Template error: {name} is no condition")


def settle(tree: Tree, given: Mapping[str, str], fetch: Callable[[str], str]) -> dict[str, Any]:
    """Return every parameter's value; raises ValidationError for a missing or wrong one.

    `fetch` reads a parameter of SSM, for parameters of the type `AWS::SSM::Parameter::Value`.
    """
    declared = tree.get("Parameters", {})
    if odd := set(given) - set(declared):
        raise flaw(f"Parameters: [{', '.join(sorted(odd))}] do not exist in the template")
    if missing := [n for n, each in declared.items() if n not in given and "Default" not in each]:
        raise flaw(f"Parameters: [{', '.join(sorted(missing))}] must have values")
    values: dict[str, Any] = {}
    for name, declaration in declared.items():
        value: Any = str(given.get(name, declaration.get("Default")))
        allowed = declaration.get("AllowedValues")
        if allowed and value not in [str(each) for each in allowed]:
            raise flaw(f"Parameter '{name}' must be one of AllowedValues")
        pattern = declaration.get("AllowedPattern")
        if pattern and not re.fullmatch(pattern, value):
            raise flaw(f"Parameter '{name}' must match pattern {pattern}")
        kind = declaration.get("Type", "String")
        if kind.startswith("AWS::SSM::Parameter::Value"):
            value = fetch(value)
        if kind == "CommaDelimitedList" or kind.startswith("List<"):
            value = [each.strip() for each in value.split(",")] if value else []
        values[name] = value
    return values


def dependencies(name: str, resource: Tree, names: set[str]) -> tuple[str, ...]:
    """Return the resources that must exist before this one."""
    found: set[str] = set()
    named = resource.get("DependsOn", [])
    found.update([named] if isinstance(named, str) else named)
    _collect(resource.get("Properties", {}), found)
    return tuple(sorted((found & names) - {name}))


def _collect(tree: Any, into: set[str]) -> None:
    if isinstance(tree, list):
        for member in tree:
            _collect(member, into)
    if not isinstance(tree, dict):
        return
    for key, member in tree.items():
        if key == "Ref" and isinstance(member, str):
            into.add(member)
        elif key == "Fn::GetAtt":
            into.add(member.split(".")[0] if isinstance(member, str) else member[0])
        elif key == "Fn::Sub":
            text = member[0] if isinstance(member, list) else member
            into.update(found[2].split(".")[0] for found in _VARIABLE.finditer(text))
        _collect(member, into)
