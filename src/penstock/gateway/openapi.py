"""The gateway's own OpenAPI document, made from the structs that read the requests."""

from importlib.metadata import version

import msgspec

from penstock.gateway.batching.described import batch_paths
from penstock.gateway.fields import ChatRequest, CompletionRequest
from penstock.gateway.invoke import InvokeRequest

_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_COUNT = {"type": "integer", "minimum": 0}

_MESSAGE = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": {"anyOf": [_TEXT, {"type": "array"}, {"type": "null"}]},
        "name": _TEXT,
        "tool_call_id": _TEXT,
        "tool_calls": {"type": "array"},
    },
}
_KNOWN = {
    "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
    "prompt": {"anyOf": [_TEXT, {"type": "array"}]},
    "temperature": {**_NUMBER, "minimum": 0, "maximum": 2},
    "top_p": {**_NUMBER, "exclusiveMinimum": 0, "maximum": 1},
    "max_tokens": {"type": "integer", "minimum": 1},
    "max_completion_tokens": {"type": "integer", "minimum": 1},
    "n": {"type": "integer", "minimum": 1},
    "stop": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}, {"type": "null"}]},
    "seed": {"type": "integer"},
}

ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type"],
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "integer", "null"]},
            },
        }
    },
}


def document() -> dict[str, object]:
    """Return the OpenAPI 3.1 document of this gateway."""
    bodies, components = msgspec.json.schema_components(
        (ChatRequest, CompletionRequest, InvokeRequest),
        ref_template="#/components/schemas/{name}",
    )
    for name in ("ChatRequest", "CompletionRequest"):
        properties = components[name]["properties"]
        properties.update({key: _KNOWN[key] for key in _KNOWN if key in properties})
    chat, completion, invoke = bodies
    answers = {"description": "JSON, or server-sent events where `stream` is true"}
    keyed: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock gateway",
            "version": version("penstock"),
            "description": "OpenAI-compatible, with the gateway's own tools behind it.",
        },
        "components": {
            "schemas": {**components, "Error": ERROR_SCHEMA},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "paths": {
            "/v1/chat/completions": {"post": _post("Chat", chat, answers, keyed)},
            "/v1/completions": {"post": _post("Complete a text", completion, answers, keyed)},
            "/invoke": {
                "post": _post("One prompt, one text", invoke, {"description": "The text"}, keyed)
            },
            "/v1/models": {"get": _get("The models this key may use", keyed)},
            "/v1/models/{name}": {"get": _get("One model", keyed, parameter="name")},
            "/tools": {"get": _get("The tools the gateway runs for this key", keyed)},
            **batch_paths(keyed, _errors(400, 401, 404, 408, 413, 429, 431, 503)),
            "/v1/usage": {"get": _usage(keyed)},
            "/mcp": {"post": _mcp(keyed)},
            "/health": {"get": _get("The process lives", [])},
            "/ready": {"get": _get("Every model has an engine that answers", [], unready=True)},
            "/metrics": {"get": _get("Prometheus metrics", [])},
            "/openapi.json": {"get": _get("This document", [])},
        },
    }


def _usage(keyed: list[dict[str, list[str]]]) -> dict[str, object]:
    """Return the operation; a gateway without a registry has no such address (404)."""
    operation = _get("What this key's tenant has used", keyed)
    operation["parameters"] = [
        {"name": name, "in": "query", "schema": _TEXT}
        for name in ("since", "until", "group_by", "model", "key_id")
    ]
    operation["responses"] = {
        "200": {"description": "Sums, and the state of budgets"},
        **_errors(400, 401, 404, 429, 503),
    }
    return operation


def _mcp(keyed: list[dict[str, list[str]]]) -> dict[str, object]:
    """Return the operation; what is wrong with a message is told in JSON-RPC's own form."""
    message = {
        "type": "object",
        "required": ["jsonrpc", "method"],
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "method": _TEXT,
            "id": {"type": ["string", "integer"]},
            "params": {"type": "object"},
        },
    }
    return {
        "summary": "The tools of this key's tenant, for MCP clients",
        "security": keyed,
        "requestBody": {"required": True, "content": {"application/json": {"schema": message}}},
        "responses": {
            "200": {"description": "The answer to a request"},
            "202": {"description": "A notification was taken"},
            "400": {"description": "No JSON-RPC message"},
            "403": {"description": "A browser on a page of another origin"},
            **_errors(401, 408, 413, 429, 431),
        },
    }


def _errors(*statuses: int) -> dict[str, object]:
    schema = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {str(status): {"description": "Error", "content": schema} for status in statuses}


def _post(
    summary: str, body: object, answer: object, keyed: list[dict[str, list[str]]]
) -> dict[str, object]:
    return {
        "summary": summary,
        "security": keyed,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": answer,
            **_errors(400, 401, 404, 408, 413, 422, 429, 431, 502, 503, 504),
        },
    }


def _get(
    summary: str,
    keyed: list[dict[str, list[str]]],
    *,
    parameter: str | None = None,
    unready: bool = False,
) -> dict[str, object]:
    operation: dict[str, object] = {
        "summary": summary,
        "responses": {
            "200": {"description": "The answer"},
            **(_errors(401) if keyed else {}),
            **(_errors(404) if parameter else {}),
            **({"503": {"description": "Not yet"}} if unready else {}),
        },
    }
    if keyed:
        operation["security"] = keyed
    if parameter:
        operation["parameters"] = [
            {
                "name": parameter,
                "in": "path",
                "required": True,
                "schema": {**_TEXT, "minLength": 1},
            }
        ]
    return operation
