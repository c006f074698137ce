"""schemathesis over the gateway's own OpenAPI document, with a model behind it."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.engines.embedded.engine_process import EngineProcess
from tests.gateway.gateway_process import ALICE, GatewayProcess, settings_for
from tests.gateway.real_engines import NAME

from penstock.gateway.openapi import document

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
DOCUMENT: Any = document()
OPERATIONS = [
    (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
]


@pytest.fixture(scope="module")
def tiny() -> Iterator[GatewayProcess]:
    """A gateway whose engine has a context so short that no generated request runs long."""
    with EngineProcess("--served-model-name", NAME, "--max-model-len", "128") as engine:
        gateway_settings = settings_for({"engine": engine.url}, NAME)
        with GatewayProcess(gateway_settings) as gateway:
            yield gateway


def test_the_document_is_served(tiny: GatewayProcess) -> None:
    assert tiny.get("/openapi.json", None).json() == DOCUMENT


def test_every_route_is_in_the_document(tiny: GatewayProcess) -> None:
    assert {path for _, path in OPERATIONS} >= {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/models",
        "/v1/models/{name}",
        "/invoke",
        "/tools",
        "/v1/usage",
        "/mcp",
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
    }


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        (method, path, mode)
        for method, path in OPERATIONS
        for mode in GenerationMode
        if method == "POST" or mode is GenerationMode.POSITIVE
    ],
    ids=str,
)
def test_no_request_breaks_it(
    tiny: GatewayProcess, method: str, path: str, mode: GenerationMode
) -> None:
    """No 5xx, and every answer is what the document says; valid requests and others."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    operation = schema[path][method]
    statuses = set()

    @settings(
        max_examples=80 if method == "POST" else 10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = NAME
        key = {"authorization": f"Bearer {ALICE}"}
        answer = case.call(base_url=tiny.url, headers=key, timeout=60)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    check()
    assert statuses
    assert not re.search("Traceback", tiny.log)
    assert httpx.get(f"{tiny.url}/ready", timeout=60).status_code == 200
