"""The OpenAPI document of the admin API, made from the structs that read its requests."""

from importlib.metadata import version

import msgspec

from penstock.gateway.openapi import ERROR_SCHEMA

Body = type[msgspec.Struct] | None
_QUERY = {
    "/admin/keys": ("tenant",),
    "/admin/usage": ("group_by", "since", "until", "tenant", "key_id", "model"),
    "/admin/usage/entries": ("after", "since", "until", "tenant", "key_id", "model"),
}


def admin_document(operations: tuple[tuple[str, str, str, Body], ...]) -> dict[str, object]:
    """Return the OpenAPI 3.1 document of `operations`: path, method, summary, body."""
    kinds = [body for *_, body in operations if body is not None]
    schemas, components = msgspec.json.schema_components(
        kinds, ref_template="#/components/schemas/{name}"
    )
    of_kind = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for path, method, summary, body in operations:
        operation = _operation(path, method, summary)
        if body is not None:
            content = {"application/json": {"schema": of_kind[body]}}
            operation["requestBody"] = {"required": True, "content": content}
        paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock admin API", "version": version("penstock")},
        "security": [{"bearer": []}, {"key": []}],
        "components": {
            "schemas": {**components, "Error": ERROR_SCHEMA},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "paths": paths,
    }


def _operation(path: str, method: str, summary: str) -> dict[str, object]:
    text = {"type": "string"}
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters: list[dict[str, object]] = [
        {"name": name, "in": "path", "required": True, "schema": {**text, "minLength": 1}}
        for name in names
    ]
    if method == "GET":
        parameters += [
            {"name": name, "in": "query", "schema": text} for name in _QUERY.get(path, ())
        ]
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    failures = {
        status: {"description": "Error", "content": error}
        for status in ("400", "401", "404", "503")
    }
    made = method == "POST" and not path.startswith("/admin/engines")
    done = {"201" if made else "200": {"description": "Made" if made else "The answer"}}
    return {"summary": summary, "parameters": parameters, "responses": {**done, **failures}}
