"""How resources are made: mostly one call of the service's API, as CloudFormation itself does.

An `Api` says which call creates, changes and deletes a resource of a type and where its physical
id and attributes are. Paths: `Role.Arn` is in the answer of the creating call, `=RoleName` in its
parameters, `@ref` the physical id (`[@ref` in a list), `!x` the word x itself, `!yes` True.
Properties `apart` are handed on by hooks, those for `later` by changes alone. `amend` changes what
no single call of the service changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError

from penstock.rehearsal.cloud import Cloud, unique
from penstock.rehearsal.cloudformation.records import Made, Stack
from penstock.rehearsal.cloudformation.shaping import UnknownProperty, parameters

Properties = dict[str, Any]
Hook = Callable[["Scene", Made], None]
Amend = Callable[["Scene", Made, Properties], None]


class ResourceFailed(Exception):
    """A resource could not be made, changed or deleted; `made` is what there is of it."""

    def __init__(self, reason: str, made: Made | None = None) -> None:
        super().__init__(reason)
        self.made = made


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a resource is made: the account, the stack, and its name in the template."""

    cloud: Cloud
    stack: Stack
    logical_id: str

    def client(self, service: str) -> Any:
        """Return a client of a service, of whoever deploys where permissions are enforced."""
        if self.stack.caller is not None:
            return self.cloud.client_of(*self.stack.caller, service)
        return self.cloud.client(service)

    def generate(self, length: int, *, lower: bool) -> str:
        """Return a physical name of CloudFormation's kind: stack, logical id, random."""
        end = unique(12)
        name = f"{self.stack.name}-{self.logical_id}"[: length - 13].rstrip("-") + "-" + end
        return name.lower() if lower else name


@dataclass(frozen=True, slots=True)
class Api:
    """A resource type whose life is calls of one service; see the top of this file."""

    service: str
    create: str
    ref: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    update: str = ""
    delete: str = ""
    delete_by: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    name_length: int = 63
    lower: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    apart: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    tags: str = "Tags"
    tag_type: str = ""
    prepare: Callable[[Scene, Properties], Properties] | None = None
    after: Hook | None = None
    before_delete: Hook | None = None
    gone: Hook | None = None
    update_apart_only: bool = False
    amend: Amend | None = None
    """Changes a resource whose service takes no whole new state: gets what there is and the
    wish, and is all that is called."""

    def make(self, scene: Scene, properties: Properties) -> Made:
        """Create a resource."""
        wish, named = dict(properties), self.name in properties
        if self.name and not named:
            wish[self.name] = scene.generate(self.name_length, lower=self.lower)
        sent, answer = self._call(scene, self.create, wish) if self.create else (wish, {})
        made = Made(scene.logical_id, "", "", properties, named=named)
        made.physical_id = str(_find(self.ref, sent, answer, made))
        made.attributes = {
            **wish,
            **{k: _find(p, sent, answer, made) for k, p in self.attributes.items()},
        }
        if self.after:
            self._hooked(self.after, scene, made)
        return made

    def change(self, scene: Scene, made: Made, properties: Properties) -> None:
        """Change a resource in place."""
        new = Made(made.logical_id, made.kind, made.physical_id, properties, named=made.named)
        new.attributes = {**made.attributes, **properties}
        if self.amend:
            amend = self.amend
            self._hooked(lambda scene, old: amend(scene, old, properties), scene, made)
            made.properties, made.attributes = properties, new.attributes
            return
        if self.update:
            wish = dict(properties)
            if self.name:
                wish.setdefault(self.name, made.attributes.get(self.name))
            if self.update == self.create:
                self._call(scene, self.update, wish)
            else:
                self._call(scene, self.update, wish, key=self._key(made))
        elif not self.update_apart_only:
            raise ResourceFailed(f"the stand-in cannot change a {made.kind} in place", made)
        if self.after:
            self._hooked(self.after, scene, new)
        made.properties, made.attributes = properties, new.attributes

    def remove(self, scene: Scene, made: Made) -> None:
        """Delete a resource; one that is gone already is no error."""
        if self.before_delete:
            self._hooked(self.before_delete, scene, made)
        if self.delete:
            try:
                getattr(scene.client(self.service), self.delete)(**self._key(made))
            except ClientError as error:
                if not _is_gone(error):
                    raise ResourceFailed(_reason(error), made) from error
        if self.gone:
            self._hooked(self.gone, scene, made)

    def _key(self, made: Made) -> dict[str, Any]:
        return {
            parameter: _find(path, made.attributes, {}, made)
            for parameter, path in self.delete_by.items()
        }

    def _call(
        self, scene: Scene, call: str, wish: Properties, key: Mapping[str, Any] | None = None
    ) -> tuple[Properties, Any]:
        client = scene.client(self.service)
        model = client.meta.service_model.operation_model(_operation(client, call))
        try:
            handed = self.prepare(scene, wish) if self.prepare else wish
            without = self.apart if key is not None else self.apart | self.later
            handed = {k: v for k, v in handed.items() if k not in without}
            if key is not None:  # a change names the resource and hands on what the call takes
                known = {name.lower() for name in model.input_shape.members}
                handed = {k: v for k, v in handed.items() if self.names.get(k, k).lower() in known}
            self._add_tags(scene, handed, model.input_shape)
            sent = {
                **parameters(handed, model.input_shape, self.names, self.create),
                **(key or self.fixed),
            }
            return sent, getattr(client, call)(**sent)
        except (ClientError, ParamValidationError) as error:
            raise ResourceFailed(_reason(error)) from error
        except UnknownProperty as error:
            raise ResourceFailed(str(error)) from error

    def _add_tags(self, scene: Scene, handed: Properties, shape: Any) -> None:
        given = handed.pop(self.tags, None) if self.tags else None
        tags = [{"Key": k, "Value": v} for k, v in scene.stack.tags.items()]
        if isinstance(given, dict):
            given = [{"Key": key, "Value": value} for key, value in given.items()]
        tags = [t for t in tags if t["Key"] not in {g["Key"] for g in given or ()}] + (given or [])
        if not tags:
            return
        if self.tag_type:
            handed["TagSpecifications"] = [{"ResourceType": self.tag_type, "Tags": tags}]
        elif self.names.get(self.tags, self.tags).lower() in {n.lower() for n in shape.members}:
            handed[self.tags] = tags

    def _hooked(self, hook: Hook, scene: Scene, made: Made) -> None:
        try:
            hook(scene, made)
        except (ClientError, ParamValidationError) as error:
            raise ResourceFailed(_reason(error), made) from error


def _operation(client: Any, call: str) -> str:
    for name in client.meta.service_model.operation_names:
        if xform_name(name) == call:
            return str(name)
    raise UnknownProperty(f"no operation {call}")


def _find(path: str, sent: Mapping[str, Any], answer: Any, made: Made) -> Any:
    fixed = {"@ref": made.physical_id, "[@ref": [made.physical_id], "!yes": True}
    if path in fixed:
        return fixed[path]
    if path.startswith("="):
        return _find(path[1:], {}, sent, made)
    if path.startswith("!"):
        return path[1:]
    found: Any = answer
    for step in path.split("."):
        found = found[int(step)] if step.isdigit() else found.get(step)
        if found is None:
            return None
    return found


def _is_gone(error: ClientError) -> bool:
    code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    words = ("NotFound", "NoSuch", "DoesNotExist", "NonExist")
    return any(word in code for word in words) or "Could not find" in text


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        said = error.response["Error"]
        return (
            f'Resource handler returned message: "{said.get("Message")}" '
            f"(HandlerErrorCode: {said.get('Code')})"
        )
    return str(error)
