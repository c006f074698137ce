"""Who signed a request, and which policies are theirs; users, roles and policies are moto's."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from moto.backends import get_backend

from penstock.rehearsal.cloud import Cloud
from penstock.rehearsal.permissions.policies import Document

ADMINISTRATOR: Document = {
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


@dataclass(frozen=True, slots=True)
class Principal:
    """A user, a role, or the account's owner; `policies` are by name."""

    arn: str
    secret: str = ""
    policies: dict[str, Document] = field(default_factory=dict)


class Principals:
    """Finds principals by their access key or by their ARN."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def of_key(self, access_key: str) -> Principal | None:
        """Return who has the access key; none when nobody has it."""
        if access_key == self._cloud.access_key:
            root = f"arn:aws:iam::{self._cloud.account}:root"
            return Principal(root, self._cloud.secret_key, {"root": ADMINISTRATOR})
        iam: Any = get_backend("iam")[self._cloud.account]["aws"]
        for user in list(iam.users.values()):
            for key in user.access_keys:
                if key.access_key_id == access_key and key.status == "Active":
                    policies = self._of_user(user.name)
                    return Principal(user.arn, key.secret_access_key, policies)
        sts: Any = get_backend("sts")[self._cloud.account]["aws"]
        for session in list(sts.assumed_roles):
            if session.access_key_id == access_key:
                name = session.role_arn.rpartition("/")[2]
                return Principal(session.arn, session.secret_access_key, self._of_role(name))
        return None

    def of_arn(self, arn: str) -> Principal | None:
        """Return a user or a role; none when there is none."""
        kind, _, name = arn.rpartition(":")[2].partition("/")
        iam = self._cloud.client("iam")
        try:
            if kind == "user":
                iam.get_user(UserName=name.rpartition("/")[2])
                return Principal(arn, policies=self._of_user(name.rpartition("/")[2]))
            name = name.partition("/")[0] if kind == "assumed-role" else name.rpartition("/")[2]
            iam.get_role(RoleName=name)
        except iam.exceptions.NoSuchEntityException:
            return None
        return Principal(arn, policies=self._of_role(name))

    def _of_user(self, name: str) -> dict[str, Document]:
        iam = self._cloud.client("iam")
        found = {
            each: _read(iam.get_user_policy(UserName=name, PolicyName=each)["PolicyDocument"])
            for each in iam.list_user_policies(UserName=name)["PolicyNames"]
        }
        attached = iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]
        return found | self._managed([each["PolicyArn"] for each in attached])

    def _of_role(self, name: str) -> dict[str, Document]:
        iam = self._cloud.client("iam")
        found = {
            each: _read(iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"])
            for each in iam.list_role_policies(RoleName=name)["PolicyNames"]
        }
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        return found | self._managed([each["PolicyArn"] for each in attached])

    def _managed(self, arns: list[str]) -> dict[str, Document]:
        iam, found = self._cloud.client("iam"), {}
        for arn in arns:
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            told = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
            found[arn.rpartition("/")[2]] = _read(told["Document"])
        return found


def _read(document: Any) -> Document:
    return dict(json.loads(unquote(document))) if isinstance(document, str) else dict(document)
