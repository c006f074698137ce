"""What a container sees: its variables, its secrets, and AWS as its role may use it."""

import json
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from penstock.rehearsal.cloud import Cloud, unique

ARN_PARTS = 7
"""Colons of a secret's ARN; what follows names a key of its JSON."""
NO_COUNTERS = "redis://127.0.0.1:1"
LISTEN = "PENSTOCK_LISTEN"
"""Tells our own containers where to listen: all of them share one loopback here."""


class CannotStart(Exception):
    """A container cannot be started; the text is the task's stopped reason."""


def command(cloud: Cloud, container: dict[str, Any]) -> list[str] | None:
    """Return the command that runs a container of ours on this machine; none for others'."""
    entry_point, words = container.get("entryPoint", []), container.get("command", [])
    return own_command(cloud.images.words(container["image"], entry_point, words))


def own_command(words: Sequence[str]) -> list[str] | None:
    """Return `words` with this Python in front; none when they are not Penstock's."""
    if words[:1] == ["penstock"]:
        return [sys.executable, "-m", "penstock.cli.app", *words[1:]]
    if (
        words[:2] in (["python", "-m"], ["python3", "-m"])
        and len(words) > 2
        and words[2].startswith("penstock")
    ):
        return [sys.executable, *words[1:]]
    return None


def environment(cloud: Cloud, container: dict[str, Any], role: str) -> dict[str, str]:
    """Return a container's variables; raises CannotStart for a secret that cannot be read."""
    plain = {each["name"]: each["value"] for each in container.get("environment", ())}
    hidden = {
        each["name"]: secret(cloud, each["valueFrom"]) for each in container.get("secrets", ())
    }
    return {**_standing_in(cloud, {**plain, **hidden}), **as_role(cloud, role)}


def _standing_in(cloud: Cloud, variables: dict[str, str]) -> dict[str, str]:
    """Return variables without addresses where nothing runs: databases and counters of AWS.

    A database of RDS becomes a SQLite file for its host. ElastiCache's counters lead to where
    nobody listens: a gateway outlives that, and counts for itself.
    """
    kept = {}
    for name, value in variables.items():
        url = urlsplit(value) if "://" in value else None
        host = (url.hostname or "") if url else ""
        if host.endswith(".rds.amazonaws.com"):
            folder = cloud.folder / "databases"
            folder.mkdir(parents=True, exist_ok=True)
            kept[name] = f"sqlite+aiosqlite:///{folder / host}.db"
        elif host.endswith(".cache.amazonaws.com"):
            kept[name] = NO_COUNTERS
        else:
            kept[name] = value
    return kept


def secret(cloud: Cloud, place: str) -> str:
    """Return what an ARN or a parameter's name stands for, as ECS resolves `valueFrom`."""
    parts = place.split(":")
    try:
        if ":secretsmanager:" not in place:
            name = place.partition(":parameter")[2] or place
            found = cloud.client("ssm").get_parameter(Name=name, WithDecryption=True)
            return str(found["Parameter"]["Value"])
        arn, rest = ":".join(parts[:ARN_PARTS]), parts[ARN_PARTS:]
        text = cloud.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
        return str(json.loads(text)[rest[0]]) if rest and rest[0] else str(text)
    except (ClientError, KeyError, ValueError) as error:
        raise CannotStart(
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to "
            f"retrieve secret from {place}: {error}"
        ) from error


def as_role(cloud: Cloud, role: str) -> dict[str, str]:
    """Return the variables with which a process speaks to the stand-in as `role`."""
    key, secret_key, token = cloud.access_key, cloud.secret_key, ""
    if role:
        try:
            said = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName=unique())
        except ClientError as error:
            raise CannotStart(f"the role {role} cannot be taken on: {error}") from error
        key, secret_key = (
            said["Credentials"]["AccessKeyId"],
            said["Credentials"]["SecretAccessKey"],
        )
        token = said["Credentials"]["SessionToken"]
    return {
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        **({"AWS_SESSION_TOKEN": token} if token else {}),
    }
