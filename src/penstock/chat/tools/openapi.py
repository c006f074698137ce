"""Operations of an OpenAPI document (3.0 or 3.1, or Swagger's successor in JSON) as tools.

Read once, when the gateway's settings are made. References inside the document are written out;
others are refused, so that reading a document never fetches anything.
"""

import re
from collections.abc import Collection, Iterator, Mapping

from penstock.chat.tools.described import BODY, Operation, Place
from penstock.ground.errors import UserError

_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME = 64
_MAX_DEPTH = 40
_MAX_DESCRIPTION = 1024

Json = Mapping[str, object]


def read_operations(document: Json, wanted: Collection[str], prefix: str) -> tuple[Operation, ...]:
    """Return the operations called `wanted` (their `operationId`), or all without any.

    A tool is called `PREFIX_OPERATION`.

    Raises:
        UserError: the document is not OpenAPI 3, or an operation is missing or cannot be used.
    """
    if not str(document.get("openapi", "")).startswith("3."):
        raise UserError(
            "this is no OpenAPI 3 document", why="`openapi: 3...` does not stand in it"
        )
    reader = _Reader(document)
    found = dict(_operations(document))
    if missing := [name for name in wanted if name not in found]:
        raise UserError(
            f"the OpenAPI document has no operation {', '.join(missing)}",
            fix=f"There are: {', '.join(found)}",
        )
    return tuple(
        reader.operation(f"{prefix}_{name}", path, method, shared, operation)
        for name, (path, method, shared, operation) in found.items()
        if not wanted or name in wanted
    )


def base_url(document: Json) -> str | None:
    """Return the address of the document's first server, if it is a whole one."""
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list | tuple) and servers else {}
    url = first.get("url") if isinstance(first, Mapping) else None
    return url if isinstance(url, str) and re.match(r"https?://[^{}]+$", url) else None


def _operations(document: Json) -> Iterator[tuple[str, tuple[str, str, object, Json]]]:
    paths = document.get("paths")
    for path, item in (paths if isinstance(paths, Mapping) else {}).items():
        for method in _METHODS:
            operation = item.get(method) if isinstance(item, Mapping) else None
            if isinstance(operation, Mapping):
                name = str(operation.get("operationId") or f"{method}{path}")
                clean = _NO_NAME.sub("_", name).strip("_")
                yield clean, (path, method, item.get("parameters", ()), operation)


class _Reader:
    def __init__(self, document: Json) -> None:
        self._document = document

    def operation(
        self, name: str, path: str, method: str, shared: object, operation: Json
    ) -> Operation:
        if len(name) > _MAX_NAME:
            raise UserError(f"the tool name {name} is longer than {_MAX_NAME} characters")
        properties: dict[str, object] = {}
        required: list[str] = []
        places: dict[str, Place] = {}
        for given in (*_sequence(shared), *_sequence(operation.get("parameters", ()))):
            parameter = self._plain(given)
            self._take(name, parameter, properties, required, places)
        self._take_body(name, operation, properties, required, places)
        parameters: dict[str, object] = {"type": "object", "properties": properties}
        if required:
            parameters["required"] = list(dict.fromkeys(required))
        text = operation.get("description") or operation.get("summary") or name
        return Operation(
            name=name,
            description=str(text)[:_MAX_DESCRIPTION],
            method=method.upper(),
            path=path,
            parameters=parameters | {"additionalProperties": False},
            places=places,
        )

    def _take(
        self,
        tool: str,
        parameter: object,
        properties: dict[str, object],
        required: list[str],
        places: dict[str, Place],
    ) -> None:
        if not isinstance(parameter, Mapping) or "name" not in parameter:
            raise UserError(f"a parameter of {tool} cannot be read")
        name, place = str(parameter["name"]), parameter.get("in")
        if place not in ("path", "query", "header"):
            if parameter.get("required"):
                raise UserError(f"{tool} needs a parameter in its {place}, which cannot be sent")
            return
        schema = parameter.get("schema", {"type": "string"})
        described = {"description": parameter["description"]} if "description" in parameter else {}
        properties[name] = {**described, **(schema if isinstance(schema, Mapping) else {})}
        places[name] = _PLACES[str(place)]
        if parameter.get("required") or place == "path":
            required.append(name)

    def _take_body(
        self,
        tool: str,
        operation: Json,
        properties: dict[str, object],
        required: list[str],
        places: dict[str, Place],
    ) -> None:
        body = self._plain(operation.get("requestBody"))
        if not isinstance(body, Mapping):
            return
        content = body.get("content")
        json = content.get("application/json") if isinstance(content, Mapping) else None
        if not isinstance(json, Mapping):
            raise UserError(f"{tool} takes no JSON body, which is all that can be sent")
        schema = json.get("schema")
        schema = schema if isinstance(schema, Mapping) else {"type": "object"}
        fields = schema.get("properties")
        whole = not isinstance(fields, Mapping) or not fields.keys().isdisjoint(properties)
        entries = {BODY: schema} if whole or not isinstance(fields, Mapping) else dict(fields)
        properties |= entries
        places |= dict.fromkeys(entries, "body")
        if whole:
            required += [BODY] if body.get("required") else []
        else:
            required += [str(name) for name in _sequence(schema.get("required", ()))]

    def _plain(self, value: object, depth: int = 0) -> object:
        """Return `value` with its references written out."""
        if depth > _MAX_DEPTH:
            raise UserError("the OpenAPI document refers to itself, which a tool cannot")
        if isinstance(value, Mapping):
            if isinstance(reference := value.get("$ref"), str):
                return self._plain(self._find(reference), depth + 1)
            return {key: self._plain(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(each, depth + 1) for each in value]
        return value

    def _find(self, reference: str) -> object:
        if not reference.startswith("#/"):
            raise UserError(f"the OpenAPI document refers to {reference}, outside of it")
        found: object = self._document
        for step in reference[2:].split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is None:
            raise UserError(f"the OpenAPI document has no {reference}")
        return found


_PLACES: dict[str, Place] = {"path": "path", "query": "query", "header": "header"}


def _sequence(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()
