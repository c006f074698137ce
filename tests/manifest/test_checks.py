"""What `checks.py` finds is told in golden/; here is what it must let through."""

from pathlib import Path

import pytest

from penstock.chat.tools.builtin import BuiltinSettings, builtin_tools
from penstock.manifest.checks import ENGINE_SETTINGS, check
from penstock.manifest.loader import load
from penstock.manifest.model import BUILT_IN_TOOLS, Engine, Manifest

EXAMPLES = sorted(Path("examples").glob("*/penstock.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_every_example_is_valid(file: Path) -> None:
    assert load(file).name == file.parent.name


def test_there_is_an_example_for_each_way_to_serve() -> None:
    assert {file.parent.name for file in EXAMPLES} >= {"local", "tenants", "vllm", "engine-url"}


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"engine": {"eager": None, "replicas": 1, "profile": "balanced"}},
        {"engine": {"kind": "openai", "url": "http://127.0.0.1:11434"}, "model": {"id": "x/y"}},
        {"engine": {"kind": "openai", "url": "https://user.example.com/base"}},
        {
            "engine": {"kind": "openai", "url": "http://10.0.0.1:1"},
            "tenants": {"a": {"models": ["whatever-it-serves"]}},
        },
        {"engine": {"kind": "openai", "url": "http://x:1"}, "model": {"tools_format": "mistral"}},
        {"model": {"tools_format": "engine"}},
        {
            "models": {"big": {"urls": ["http://10.0.0.7:8000"]}},
            "tenants": {"a": {"models": ["auto", "big"]}},
            "prices": {"big": {"prompt": 1}},
            "routes": {
                "auto": {
                    "tiers": {"s": {"model": "penstock-tiny"}, "l": {"model": "big", "above": 1}}
                },
                "penstock-tiny": {"fallback": ["big"], "split": {"a": {"engine": "engine"}}},
                "ab": {"split": {"a": {"model": "penstock-tiny"}, "b": {"model": "big"}}},
            },
        },
        {
            "engine": {"kind": "openai", "url": "http://10.0.0.1:1"},
            "routes": {"whatever-it-serves": {"shadow": {"engine": "engine"}}},
        },
        {"gateway": {"request_timeout_s": 5}},
        {"gateway": {"host": "::"}},
        {"gateway": {"host": "my-host.local"}},
        {"model": {"id": "a/b", "context": 256}},
        {"model": {"revision": "v1", "id": "a/b"}},
        {"scale": {"min": 0}, "target": {"kind": "sagemaker", "mode": "components"}},
    ],
)
def test_what_fits_is_let_through(manifest: dict[str, object]) -> None:
    assert check(Manifest.model_validate(manifest)) == []


def test_every_field_of_the_engine_is_judged() -> None:
    assert set(ENGINE_SETTINGS) == set(Engine.model_fields) - {"kind"}


def test_the_built_in_tools_are_those_of_the_gateway() -> None:
    tools = builtin_tools(BuiltinSettings())
    assert {tool.name for tool in tools} == set(BUILT_IN_TOOLS)
