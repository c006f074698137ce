"""Files and batches in the gateway's OpenAPI document."""

from typing import Any

_TEXT = {"type": "string"}
_ID = {"name": "id", "in": "path", "required": True, "schema": {**_TEXT, "minLength": 1}}
_OF_A_PAGE = tuple(
    {"name": name, "in": "query", "schema": _TEXT} for name in ("after", "limit", "order")
)
_PURPOSE = {"name": "purpose", "in": "query", "schema": _TEXT}
_UPLOAD = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["file", "purpose"],
            "properties": {
                "file": {**_TEXT, "contentMediaType": "application/octet-stream"},
                "purpose": {"const": "batch"},
                "expires_after[anchor]": {"const": "created_at"},
                "expires_after[seconds]": {"type": "integer", "minimum": 3600},
            },
        }
    }
}
_LIFE = {
    "type": "object",
    "required": ["anchor", "seconds"],
    "properties": {
        "anchor": {"const": "created_at"},
        "seconds": {"type": "integer", "minimum": 3600},
    },
}
_BATCH = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["input_file_id", "endpoint", "completion_window"],
            "additionalProperties": False,
            "properties": {
                "input_file_id": _TEXT,
                "endpoint": {"enum": ["/v1/chat/completions", "/v1/completions"]},
                "completion_window": {"const": "24h"},
                "metadata": {"type": "object", "additionalProperties": _TEXT},
                "output_expires_after": _LIFE,
            },
        }
    }
}

Keyed = list[dict[str, list[str]]]


def batch_paths(keyed: Keyed, errors: dict[str, object]) -> dict[str, object]:
    """Return the operations; `errors` are the answers that any of them may give.

    A gateway that keeps no files answers them all by 400 `batches_off`.
    """

    def one(summary: str, *parameters: Any, body: Any = None) -> dict[str, object]:
        operation: dict[str, object] = {
            "summary": summary,
            "security": keyed,
            "parameters": list(parameters),
            "responses": {"200": {"description": "The answer"}, **errors},
        }
        if body is not None:
            operation["requestBody"] = {"required": True, "content": body}
        return operation

    return {
        "/v1/files": {
            "get": one("The tenant's files", *_OF_A_PAGE, _PURPOSE),
            "post": one("Upload a file for a batch", body=_UPLOAD),
        },
        "/v1/files/{id}": {
            "get": one("One file", _ID),
            "delete": one("Delete a file", _ID),
        },
        "/v1/files/{id}/content": {"get": one("What is in a file", _ID)},
        "/v1/batches": {
            "get": one("The tenant's batches", *_OF_A_PAGE),
            "post": one("Make a batch", body=_BATCH),
        },
        "/v1/batches/{id}": {"get": one("One batch", _ID)},
        "/v1/batches/{id}/cancel": {"post": one("Cancel a batch", _ID)},
    }
