"""Whether a request is allowed, where the stand-in was told to enforce what IAM says."""

import json
import re
from collections.abc import Iterable
from typing import Any

from werkzeug.wrappers import Request

from penstock.rehearsal.cloud import BEHALF, Cloud
from penstock.rehearsal.permissions.actions import Need, Place, needs
from penstock.rehearsal.permissions.policies import DENIED, decide
from penstock.rehearsal.permissions.principals import Principals
from penstock.rehearsal.refusals import AwsError

READING = re.compile(r"^[a-z0-9-]+:(Describe|Get|List|Head|View|BatchGet)")
FREE = {"sts:GetCallerIdentity"}
_KEY = re.compile(r"Credential=([^/]+)/")


class Watch:
    """Looks at each request.

    What CloudFormation reads on behalf of a deployer is let pass: the calls by which AWS's own
    handlers read are not the stand-in's.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.principals = Principals(cloud)

    def check(self, service: str, request: Request) -> None:
        """Raise AwsError when the signer may not do what the request asks for."""
        found = _KEY.search(request.headers.get("Authorization", ""))
        principal = self.principals.of_key(found[1]) if found else None
        if principal is None:
            if found is None:
                return  # not signed: bearer tokens and open routes are looked at elsewhere
            raise AwsError(
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
                status=403,
            )
        behalf = BEHALF in request.headers.get("User-Agent", "")
        place = Place(self._cloud.region, self._cloud.account)
        for need in needs(service, request, place):
            if need.action in FREE or (behalf and READING.match(need.action)):
                continue
            said = decide(principal.policies, need.action, need.resource, need.context)
            if not said.allows:
                raise _refused(principal.arn, need, said.word)

    def allows(self, access_key: str, wanted: Iterable[Need]) -> bool:
        """Whether whoever has the key may do all that is wanted."""
        principal = self.principals.of_key(access_key)
        return principal is not None and all(
            decide(principal.policies, each.action, each.resource, each.context).allows
            for each in wanted
        )


def _refused(arn: str, need: Need, word: str) -> AwsError:
    because = (
        "with an explicit deny in an identity-based policy"
        if word == DENIED
        else f"because no identity-based policy allows the {need.action} action"
    )
    where = "" if need.resource == "?" else f" on resource: {need.resource}"
    return AwsError(
        "AccessDenied",
        f"User: {arn} is not authorized to perform: {need.action}{where} {because}",
        status=403,
    )


class Simulation:
    """IAM's simulation of policies; the rest of IAM is moto's."""

    def __init__(self, principals: Principals) -> None:
        self._principals = principals

    def simulate_principal_policy(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return what a user's or role's policies say of actions on resources."""
        arn = given["PolicySourceArn"]
        principal = self._principals.of_arn(arn)
        if principal is None:
            raise AwsError("NoSuchEntity", f"{arn} cannot be found.", status=404)
        return _simulate(given, dict(principal.policies))

    def simulate_custom_policy(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return what the given policies alone say."""
        return _simulate(given, {})


def _simulate(given: dict[str, Any], policies: dict[str, Any]) -> dict[str, Any]:
    for index, text in enumerate(given.get("PolicyInputList", ()), start=1):
        policies[f"PolicyInputList.{index}"] = json.loads(text)
    context = {
        each["ContextKeyName"]: each["ContextKeyValues"]
        for each in given.get("ContextEntries", ())
    }
    results = []
    for action in given["ActionNames"]:
        if "*" in action:
            raise AwsError("InvalidInput", f"Invalid Entity: {action} is a pattern, not an action")
        for resource in given.get("ResourceArns") or ["*"]:
            said = decide(policies, action, resource, context)
            results.append(
                {
                    "EvalActionName": action,
                    "EvalResourceName": resource,
                    "EvalDecision": said.word,
                    "MatchedStatements": [
                        {"SourcePolicyId": name, "SourcePolicyType": "IAM Policy"}
                        for name in said.by
                    ],
                    "MissingContextValues": [],
                }
            )
    return {"EvaluationResults": results, "IsTruncated": False}
