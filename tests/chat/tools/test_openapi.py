"""OpenAPI documents as operations."""

from typing import Any

import pytest

from penstock.chat.tools.openapi import base_url, read_operations
from penstock.ground.errors import UserError

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://api.example.com/v1"}],
    "paths": {
        "/customers/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {
                "operationId": "getCustomer",
                "summary": "Get a customer",
                "parameters": [
                    {"name": "fields", "in": "query", "schema": {"type": "array"}},
                    {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                ],
            },
            "put": {
                "operationId": "putCustomer",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Customer"}}
                    },
                },
            },
        },
        "/tags": {"post": {"requestBody": {"content": {"application/json": {
            "schema": {"type": "array", "items": {"type": "string"}}}}}}},
    },
    "components": {
        "parameters": {"Id": {"name": "id", "in": "path", "schema": {"type": "string"}}},
        "schemas": {
            "Customer": {
                "type": "object",
                "properties": {"name": {"$ref": "#/components/schemas/Name"}},
                "required": ["name"],
            },
            "Name": {"type": "string", "maxLength": 80},
        },
    },
}  # fmt: skip


def test_operations_become_schemas_and_places() -> None:
    get, put, tags = read_operations(DOCUMENT, (), "crm")
    assert (get.name, get.method, get.path) == ("crm_getCustomer", "GET", "/customers/{id}")
    assert get.description == "Get a customer"
    assert get.parameters["properties"] == {"id": {"type": "string"}, "fields": {"type": "array"}}
    assert get.parameters["required"] == ["id"]
    assert get.places == {"id": "path", "fields": "query"}
    assert put.parameters["properties"] == {
        "id": {"type": "string"}, "name": {"type": "string", "maxLength": 80}
    }  # fmt: skip
    assert put.parameters["required"] == ["id", "name"]
    assert put.places == {"id": "path", "name": "body"}
    assert (tags.name, tags.places) == ("crm_post_tags", {"body": "body"})


def test_only_what_is_wanted() -> None:
    (only,) = read_operations(DOCUMENT, ["putCustomer"], "crm")
    assert only.name == "crm_putCustomer"
    with pytest.raises(UserError, match="getCustomer, putCustomer, post_tags"):
        read_operations(DOCUMENT, ["delCustomer"], "crm")


def test_the_address_is_the_first_whole_server() -> None:
    assert base_url(DOCUMENT) == "https://api.example.com/v1"
    assert base_url({"servers": [{"url": "/v1"}]}) is None
    assert base_url({"servers": [{"url": "https://{host}/v1"}]}) is None
    assert base_url({}) is None


def with_operation(**operation: Any) -> dict[str, Any]:
    return {"openapi": "3.0.3", "paths": {"/x": {"get": {"operationId": "x"} | operation}}}


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"swagger": "2.0"}, "no OpenAPI 3"),
        (with_operation(parameters=[{"$ref": "#/nowhere"}]), "has no #/nowhere"),
        (with_operation(parameters=[{"$ref": "http://evil.example/x"}]), "outside of it"),
        (with_operation(parameters=[{"$ref": "#/paths/~1x/get/parameters/0"}]), "has no"),
        (with_operation(parameters=["id"]), "cannot be read"),
        (with_operation(parameters=[{"name": "s", "in": "cookie", "required": True}]), "cookie"),
        (with_operation(requestBody={"content": {"text/csv": {}}}), "no JSON body"),
        (with_operation(operationId="x" * 70), "longer than"),
        (
            with_operation(parameters=[{"$ref": "#/components/a"}])
            | {"components": {"a": {"schema": {"$ref": "#/components/a"}}}},
            "refers to itself",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(document: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=what):
        read_operations(document, (), "crm")
