"""ElastiCache's serverless caches and their users, which moto does not have whole.

No server runs behind them.
"""

from collections.abc import Mapping
from typing import Any

from penstock.rehearsal.cloud import Cloud, now
from penstock.rehearsal.refusals import AwsError

Parameters = dict[str, Any]
DEFAULT = "default"
"""The user name that every user group must have once."""
KEPT = (
    *("Engine", "MajorEngineVersion", "SubnetIds", "SecurityGroupIds", "KmsKeyId"),
    *("Description", "UserGroupId", "CacheUsageLimits", "SnapshotRetentionLimit"),
)


class Caches:
    """The operations on serverless caches, users and user groups."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.caches: dict[str, Parameters] = {}
        self.users: dict[str, Parameters] = {}
        self.groups: dict[str, Parameters] = {}

    def create_serverless_cache(self, given: Parameters) -> Parameters:
        """Remember a cache."""
        name = given["ServerlessCacheName"]
        if name in self.caches:
            raise AwsError(
                "ServerlessCacheAlreadyExistsFault", f"Serverless cache {name} already exists"
            )
        self._check_group(given)
        host = f"{name}.serverless.{self._cloud.region}.cache.amazonaws.com"
        self.caches[name] = {
            **{key: given[key] for key in KEPT if key in given},
            "ServerlessCacheName": name,
            "ARN": self._cloud.arn("elasticache", f"serverlesscache:{name}"),
            "Status": "available",
            "CreateTime": now(),
            "Endpoint": {"Address": host, "Port": 6379},
            "ReaderEndpoint": {"Address": host, "Port": 6380},
        }
        return {"ServerlessCache": self.caches[name]}

    def modify_serverless_cache(self, given: Parameters) -> Parameters:
        """Change a cache."""
        cache = self._cache(given["ServerlessCacheName"])
        self._check_group(given)
        cache |= {key: value for key, value in given.items() if key in KEPT}
        return {"ServerlessCache": cache}

    def describe_serverless_caches(self, given: Parameters) -> Parameters:
        """Return one cache or all."""
        name = given.get("ServerlessCacheName")
        if name:
            return {"ServerlessCaches": [self._cache(name)]}
        return {"ServerlessCaches": list(self.caches.values())}

    def delete_serverless_cache(self, given: Parameters) -> Parameters:
        """Forget a cache."""
        cache = self._cache(given["ServerlessCacheName"])
        del self.caches[cache["ServerlessCacheName"]]
        return {"ServerlessCache": {**cache, "Status": "deleting"}}

    def create_user(self, given: Parameters) -> Parameters:
        """Remember a user; its passwords are not kept."""
        name = given["UserId"]
        if name in self.users:
            raise AwsError("UserAlreadyExists", f"User {name} already exists.")
        mode = given.get("AuthenticationMode", {}).get("Type", "password")
        known = ("UserId", "UserName", "Engine", "AccessString")
        self.users[name] = {
            **{key: given[key] for key in known},
            "Status": "active",
            "Authentication": {"Type": "no-password" if mode.startswith("no-") else mode},
            "ARN": self._cloud.arn("elasticache", f"user:{name}"),
        }
        return self._told(self.users[name])

    def modify_user(self, given: Parameters) -> Parameters:
        """Change what a user may do."""
        user = _of(self.users, given["UserId"], "UserNotFound", "User")
        user |= {key: given[key] for key in ("AccessString", "Engine") if key in given}
        return self._told(user)

    def describe_users(self, given: Parameters) -> Parameters:
        """Return one user or all."""
        name = given.get("UserId")
        found = [_of(self.users, name, "UserNotFound", "User")] if name else self.users.values()
        return {"Users": [self._told(each) for each in found]}

    def delete_user(self, given: Parameters) -> Parameters:
        """Forget a user that is in no group."""
        user = _of(self.users, given["UserId"], "UserNotFound", "User")
        if groups := self._told(user)["UserGroupIds"]:
            raise AwsError(
                "InvalidUserState", f"User {user['UserId']} is in the groups {', '.join(groups)}."
            )
        del self.users[user["UserId"]]
        return {**user, "Status": "deleting"}

    def create_user_group(self, given: Parameters) -> Parameters:
        """Remember a group; one user's name in it must be `default`, but for Valkey."""
        name, ids = given["UserGroupId"], list(given.get("UserIds", ()))
        if name in self.groups:
            raise AwsError("UserGroupAlreadyExistsFault", f"User group {name} already exists.")
        users = [_of(self.users, each, "UserNotFound", "User") for each in ids]
        if given["Engine"].lower() != "valkey" and DEFAULT not in {u["UserName"] for u in users}:
            raise AwsError("DefaultUserRequired", "A user named default is required.")
        self.groups[name] = {
            "UserGroupId": name,
            "Status": "active",
            "Engine": given["Engine"],
            "UserIds": ids,
            "ARN": self._cloud.arn("elasticache", f"usergroup:{name}"),
        }
        return self.groups[name]

    def modify_user_group(self, given: Parameters) -> Parameters:
        """Add users to a group and take users from it."""
        group = _of(self.groups, given["UserGroupId"], "UserGroupNotFoundFault", "User group")
        for each in given.get("UserIdsToAdd", ()):
            _of(self.users, each, "UserNotFound", "User")
        gone = set(given.get("UserIdsToRemove", ()))
        kept = [each for each in group["UserIds"] if each not in gone]
        group["UserIds"] = [*kept, *given.get("UserIdsToAdd", ())]
        return group

    def describe_user_groups(self, given: Parameters) -> Parameters:
        """Return one group or all."""
        name = given.get("UserGroupId")
        if name:
            return {"UserGroups": [_of(self.groups, name, "UserGroupNotFoundFault", "User group")]}
        return {"UserGroups": list(self.groups.values())}

    def delete_user_group(self, given: Parameters) -> Parameters:
        """Forget a group that no cache uses."""
        group = _of(self.groups, given["UserGroupId"], "UserGroupNotFoundFault", "User group")
        name = group["UserGroupId"]
        if any(each.get("UserGroupId") == name for each in self.caches.values()):
            raise AwsError("InvalidUserGroupState", f"User group {name} is used by a cache.")
        del self.groups[name]
        return {**group, "Status": "deleting"}

    def _check_group(self, given: Parameters) -> None:
        if name := given.get("UserGroupId"):
            _of(self.groups, name, "UserGroupNotFoundFault", "User group")

    def _told(self, user: Parameters) -> Parameters:
        name = user["UserId"]
        groups = [each["UserGroupId"] for each in self.groups.values() if name in each["UserIds"]]
        return {**user, "UserGroupIds": groups}

    def _cache(self, name: str) -> Parameters:
        return _of(self.caches, name, "ServerlessCacheNotFoundFault", "Serverless cache")


def _of(kept: Mapping[str, Parameters], name: str, code: str, what: str) -> Parameters:
    if name not in kept:
        raise AwsError(code, f"{what} {name} not found", status=404)
    return kept[name]
