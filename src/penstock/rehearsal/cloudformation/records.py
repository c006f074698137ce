"""What CloudFormation remembers: stacks, their resources and events, change sets."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from penstock.rehearsal.cloud import now, unique

Properties = dict[str, Any]


@dataclass(slots=True)
class Made:
    """A resource that exists: its physical id (what Ref gives) and its attributes."""

    logical_id: str
    kind: str
    physical_id: str
    properties: Properties
    attributes: dict[str, Any] = field(default_factory=dict)
    status: str = "CREATE_COMPLETE"
    reason: str = ""
    deletion_policy: str = "Delete"
    named: bool = False
    depends_on: tuple[str, ...] = ()
    changed: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a resource or to the stack."""

    logical_id: str
    physical_id: str
    kind: str
    status: str
    reason: str = ""
    at: datetime = field(default_factory=now)
    id: str = field(default_factory=unique)


@dataclass(slots=True)
class Stack:
    """A stack; `events` are oldest first.

    `undone_not` are the steps back to `before` (template, parameters and tags) of a rollback that
    got stuck, or that was switched off.
    """

    name: str
    id: str
    status: str
    template: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    reason: str = ""
    resources: dict[str, Made] = field(default_factory=dict)
    outputs: list[dict[str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    protected: bool = False
    caller: tuple[str, str] | None = None
    """Access key and secret of whoever deploys, where permissions are enforced."""
    disable_rollback: bool = False
    undone_not: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    before: tuple[str, dict[str, str], dict[str, str]] | None = None
    created: datetime = field(default_factory=now)
    updated: datetime | None = None
    deleted: datetime | None = None

    def tell(
        self, logical_id: str, physical_id: str, kind: str, status: str, why: str = ""
    ) -> None:
        """Add an event."""
        self.events.append(Event(logical_id, physical_id, kind, status, why))

    def enter(self, status: str, why: str = "") -> None:
        """Change the stack's own status, with its event."""
        self.tell(self.name, self.id, "AWS::CloudFormation::Stack", status, why)
        self.status, self.reason = status, why


@dataclass(slots=True)
class ChangeSet:
    """A change set, with the changes it would make."""

    name: str
    id: str
    stack: Stack
    kind: str
    template: str
    parameters: dict[str, str]
    tags: dict[str, str]
    capabilities: tuple[str, ...]
    changes: list[dict[str, Any]] = field(default_factory=list)
    status: str = "CREATE_COMPLETE"
    execution: str = "AVAILABLE"
    reason: str = ""
    created: datetime = field(default_factory=now)


@dataclass(slots=True)
class Deck:
    """All stacks and change sets by id."""

    stacks: dict[str, Stack] = field(default_factory=dict)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
