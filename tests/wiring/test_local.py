"""A local stack, from the manifest to the gateway's settings."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes.openai_server import KEY, fake_gateway

from penstock.gateway.settings import ModelSettings, Settings
from penstock.manifest.model import Manifest
from penstock.wiring.local import local_stack


def models_of(manifest: dict[str, Any], directory: Path) -> tuple[ModelSettings, ...]:
    """The models in the settings of the gateway."""
    stack = local_stack(Manifest.model_validate(manifest), directory)
    file = next(file for file in stack.files if file.name == "gateway.json")
    return msgspec.json.decode(stack.files[file], type=Settings).models


@pytest.mark.parametrize(
    ("model", "served", "form"),
    [
        ({}, "penstock-tiny", "hermes"),
        ({}, "Llama-3.2-3B-Instruct", "llama3_json"),
        ({}, "a-model-of-mine", None),
        ({"tools_format": "pythonic"}, "a-model-of-mine", "pythonic"),
        ({"tools_format": "engine"}, "penstock-tiny", None),
    ],
)
def test_calls_are_looked_for_where_the_engine_may_leave_them_in_its_text(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: dict[str, str],
    served: str,
    form: str | None,
) -> None:
    monkeypatch.setenv("ENGINE_KEY", KEY)
    monkeypatch.setattr("tests.fakes.openai_server.MODEL", served)
    with fake_gateway() as server:
        engine = {"kind": "openai", "url": server.url, "api_key": "${env:ENGINE_KEY}"}
        manifest = {"engine": engine, "model": {"id": served} | model}
        (settings,) = models_of(manifest, tmp_path)
        left = manifest | {"model": {"id": served, "structured_outputs": "engine"}}
        (unjudged,) = models_of(left, tmp_path)
    assert (settings.name, settings.tools_format) == (served, form)
    assert (settings.verify_answers, unjudged.verify_answers) == (True, False)


def test_our_own_engines_parse_their_calls(tmp_path: Path) -> None:
    (model,) = models_of({}, tmp_path)
    assert (model.tools_format, model.verify_answers) == (None, False)
