"""Whether a role or user may do what it has to, asked of IAM's simulator; nothing is altered."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

import msgspec

from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors
from penstock.targets.aws.roles import Statement, allow, document
from penstock.targets.doctor.finding import Finding, Verdict, bad, good

_AT_ONCE = 100
_TOLD = 6


@dataclass(frozen=True, slots=True)
class Denied:
    """An action that is not allowed on a resource, and by what."""

    action: str
    resource: str
    by: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What was simulated for one principal; `trusts` are the services that may take a role."""

    who: str
    asked: int
    denied: tuple[Denied, ...]
    trusts: frozenset[str] = frozenset()


def principal_of(account: Account, arn: str) -> str:
    """The ARN that IAM can simulate: of a session that is its role's, path included."""
    kind = arn.split(":")[2]
    if kind != "sts" or ":assumed-role/" not in arn:
        return arn
    with aws_errors("IAM"):
        found = account.client("iam").get_role(RoleName=arn.split("/")[1])
    return str(found["Role"]["Arn"])


def simulate(account: Account, who: str, statements: Sequence[Statement]) -> Facts:
    """Ask IAM whether the principal `who` may do what `statements` say.

    Raises:
        CloudError: the simulator may not be asked, or there is no such principal.
    """
    denied: dict[Denied, None] = {}
    asked = 0
    for statement in statements:
        actions, resources = _texts(statement, "Action"), _texts(statement, "Resource")
        examples = {example_of(each): each for each in resources}
        asked += len(actions)
        for start in range(0, len(actions), _AT_ONCE):
            given: dict[str, Any] = {
                "PolicySourceArn": who,
                "ActionNames": actions[start : start + _AT_ONCE],
                "ContextEntries": list(_context(statement)),
            }
            if resources != ["*"]:
                given["ResourceArns"] = list(examples)
            for each in _denied(account, given):
                meant = examples.get(each.resource, each.resource)
                denied[replace(each, resource=meant)] = None
    return Facts(who, asked, tuple(denied))


def example_of(arn: str) -> str:
    """An ARN that a pattern is meant for: the simulator asks of things, not of patterns."""
    return arn if arn == "*" else arn.replace("*", "examined")


def _denied(account: Account, given: Mapping[str, Any]) -> Iterator[Denied]:
    with aws_errors("IAM"):
        pages = account.client("iam").get_paginator("simulate_principal_policy").paginate(**given)
        for page in pages:
            for each in page["EvaluationResults"]:
                if each["EvalDecision"] != "allowed":
                    yield Denied(each["EvalActionName"], each["EvalResourceName"], _by(each))


def _by(result: Mapping[str, Any]) -> str:
    if result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations") is False:
        return "a policy of the organisation"
    boundary = result.get("PermissionsBoundaryDecisionDetail", {})
    if boundary.get("AllowedByPermissionsBoundary") is False:
        return "its permissions boundary"
    return "an explicit deny" if result["EvalDecision"] == "explicitDeny" else "nothing allows it"


def trust(account: Account, role: str) -> frozenset[str]:
    """The services that may take a role."""
    with aws_errors("IAM"):
        found = account.client("iam").get_role(RoleName=role.rpartition("/")[2])
    policy = found["Role"]["AssumeRolePolicyDocument"]
    told = msgspec.json.decode(unquote(policy)) if isinstance(policy, str) else policy
    services: set[str] = set()
    for statement in told.get("Statement", ()):
        principal = statement.get("Principal", {})
        if statement.get("Effect") == "Allow" and isinstance(principal, dict):
            named = principal.get("Service", ())
            services |= {named} if isinstance(named, str) else set(named)
    return frozenset(services)


def check(facts: Facts, check_name: str, whose: str) -> Iterator[Finding]:
    """What is missing, with a piece of policy that would mend it."""
    evidence = f"iam:SimulatePrincipalPolicy of {facts.who}, {facts.asked} actions"
    if not facts.denied:
        yield good(check_name, f"{whose} may do all that it has to", evidence)
        return
    names = list(dict.fromkeys(each.action for each in facts.denied))
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    walls = {each.by for each in facts.denied} - {"nothing allows it"}
    said = f"{whose} may not {', '.join(names[:_TOLD])}{more}"
    fix = "Add the policy below to it; Penstock never alters what it did not make."
    if walls:
        said += f" ({', '.join(sorted(walls))})"
        fix = f"No policy of its own helps against {', '.join(sorted(walls))}: have that changed."
    yield Finding(check_name, Verdict.FAILED, said, evidence, fix, snippet(facts.denied))


def check_trust(services: frozenset[str], role: str) -> Finding:
    """Whether SageMaker may take a role."""
    evidence = f"iam:GetRole {role}: trusts {', '.join(sorted(services)) or 'no service'}"
    if "sagemaker.amazonaws.com" in services:
        return good("permissions.trust", "SageMaker may take the execution role", evidence)
    return bad(
        "permissions.trust",
        "SageMaker may not take the execution role",
        evidence,
        "Let sagemaker.amazonaws.com sts:AssumeRole in the role's trust policy.",
    )


def snippet(denied: Iterable[Denied]) -> dict[str, object]:
    """A policy that allows what was denied."""
    resources: dict[str, list[str]] = {}
    for each in denied:
        resources.setdefault(each.resource, []).append(each.action)
    grouped: dict[tuple[str, ...], list[str]] = {}
    for resource, actions in resources.items():
        grouped.setdefault(tuple(sorted(set(actions))), []).append(resource)
    return document([allow(actions, sorted(where)) for actions, where in grouped.items()])


def definite(value: object, names: Mapping[str, str]) -> object:
    """A piece of a template with `${...}`, `Ref` and `GetAtt` replaced by what they stand for.

    `names` maps `AWS::Region`, `Bucket.Arn` and the like; what is not in it becomes `*`.
    """
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        if set(value) == {"Fn::Sub"}:
            return _substituted(str(value["Fn::Sub"]), names)
        if set(value) == {"Fn::GetAtt"}:
            return names.get(".".join(value["Fn::GetAtt"]), "*")
        if set(value) == {"Ref"}:
            return names.get(str(value["Ref"]), "*")
        return {key: definite(each, names) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [definite(each, names) for each in value]
    return value


def _substituted(text: str, names: Mapping[str, str]) -> str:
    parts = text.split("${")
    done = parts[0]
    for part in parts[1:]:
        name, _, rest = part.partition("}")
        done += names.get(name, "*") + rest
    return done


def _texts(statement: Statement, name: str) -> list[str]:
    found = statement[name]
    return [str(each) for each in found] if isinstance(found, list | tuple) else [str(found)]


def _context(statement: Statement) -> Iterator[dict[str, object]]:
    """What a condition of the statement will find when it is asked in earnest."""
    conditions = statement.get("Condition")
    for tests in conditions.values() if isinstance(conditions, dict) else ():
        for key, values in tests.items():
            first = values if isinstance(values, str) else values[0]
            yield {
                "ContextKeyName": key,
                "ContextKeyValues": [first.replace("*", "penstock")],
                "ContextKeyType": "string",
            }
