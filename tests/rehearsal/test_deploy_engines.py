"""Deployments of engines that are not asked as vLLM is, by the real commands."""

import re
from typing import Any

import pytest
from tests.rehearsal.deployments import Deployments

from penstock.targets.sagemaker.dialects import dialect_of, text_of

ENGINES: dict[str, dict[str, Any]] = {
    "tgi": {
        "engine": {"kind": "tgi"},
        "model": {"id": "meta-llama/Llama-2-7b-chat-hf", "context": 2048, "quantization": "nf4"},
    },
    "triton": {"engine": {"kind": "triton"}, "model": {"id": "Qwen/Qwen3-0.6B", "context": 2048}},
    "lmi": {"engine": {"kind": "lmi"}, "model": {"id": "Qwen/Qwen3-0.6B", "context": 2048}},
    "triton-async": {
        "engine": {"kind": "triton"},
        "model": {"id": "Qwen/Qwen3-0.6B", "context": 2048},
        "target": {"mode": "async"},
    },
    "tgi-components": {
        "engine": {"kind": "tgi"},
        "model": {"id": "Qwen/Qwen3-0.6B", "context": 2048},
        "target": {"mode": "components"},
    },
    "serverless": {
        "model": {"id": "embedded"},
        "target": {
            "mode": "serverless",
            "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/on-cpus:1",
            "instances": [],
        },
    },
}


@pytest.mark.parametrize("name", ENGINES)
def test_it_is_deployed_asked_and_removed(deployments: Deployments, name: str) -> None:
    before = deployments.things()
    deployments.write(f"speaks-{name}", **ENGINES[name])
    _, err = deployments.run("deploy", "--yes")
    assert ("Mind: " in err) is (name != "serverless")
    component = "-base" if name.endswith("components") else ""
    assert re.search(rf"penstock-speaks-{name}{component} answers .*: '\S", err), err
    if not name.endswith("async"):
        asked = ("--file", str(deployments.file), "--json")
        out, _ = deployments.run_with("invoke", "Say hello.", *asked)
        assert text_of(
            dialect_of(ENGINES[name].get("engine", {}).get("kind", "vllm")), out.encode()
        )
    deployments.destroy()
    assert [each for each in deployments.things() if each not in before] == []
