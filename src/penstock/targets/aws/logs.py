"""CloudWatch Logs: the last lines of log groups, and those that come."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from penstock.targets.aws.account import Account
from penstock.targets.aws.refusals import aws_errors, code_of

STREAMS = 8
"""How many of a group's streams are looked at: those that were written to last."""
POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log; `at_ms` is a Unix time in milliseconds."""

    at_ms: int
    group: str
    stream: str
    text: str


class Logs:
    """The log groups of an account."""

    def __init__(self, account: Account) -> None:
        self._client: Any = account.client("logs")

    def groups(self, prefix: str) -> list[str]:
        """The names of the groups that begin so."""
        with aws_errors("CloudWatch Logs"):
            pages = self._client.get_paginator("describe_log_groups").paginate(
                logGroupNamePrefix=prefix
            )
            return [each["logGroupName"] for page in pages for each in page["logGroups"]]

    def tail(self, group: str, count: int, since_ms: int = 0) -> list[Line]:
        """The last `count` lines of a group, the oldest first; none where there is no group."""
        lines: list[Line] = []
        with aws_errors("CloudWatch Logs"):
            try:
                told = self._client.describe_log_streams(
                    logGroupName=group, orderBy="LastEventTime", descending=True, limit=STREAMS
                )
                for each in told["logStreams"]:
                    events = self._client.get_log_events(
                        logGroupName=group,
                        logStreamName=each["logStreamName"],
                        startTime=since_ms,
                        limit=max(count, 1),
                        startFromHead=False,
                    )
                    lines += [
                        Line(event["timestamp"], group, each["logStreamName"], event["message"])
                        for event in events["events"]
                    ]
            except ClientError as error:
                if code_of(error) != "ResourceNotFoundException":
                    raise
        ordered = sorted(lines, key=lambda line: line.at_ms)
        return ordered[-count:] if count else []

    def follow(self, groups: Sequence[str], since_ms: int) -> Iterator[Line]:
        """The lines after `since_ms` as they come, without end; groups may appear meanwhile."""
        newest = dict.fromkeys(groups, since_ms)
        seen: dict[str, set[str]] = {group: set() for group in groups}
        while True:
            for group in groups:
                for event in self._since(group, newest[group]):
                    if event["eventId"] in seen[group]:
                        continue
                    if event["timestamp"] > newest[group]:
                        newest[group], seen[group] = event["timestamp"], set()
                    seen[group].add(event["eventId"])
                    stream = event["logStreamName"]
                    yield Line(event["timestamp"], group, stream, event["message"])
            time.sleep(POLL_S)

    def delete(self, group: str) -> None:
        """Delete a group with all that is in it; one that is gone already is well."""
        with aws_errors("CloudWatch Logs"):
            try:
                self._client.delete_log_group(logGroupName=group)
            except ClientError as error:
                if code_of(error) != "ResourceNotFoundException":
                    raise

    def _since(self, group: str, at_ms: int) -> list[dict[str, Any]]:
        with aws_errors("CloudWatch Logs"):
            try:
                pages = self._client.get_paginator("filter_log_events").paginate(
                    logGroupName=group, startTime=at_ms
                )
                found = [event for page in pages for event in page["events"]]
            except ClientError as error:
                if code_of(error) != "ResourceNotFoundException":
                    raise
                return []
        return sorted(found, key=lambda event: event["timestamp"])
