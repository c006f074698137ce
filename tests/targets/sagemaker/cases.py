"""Manifests over every combination that has templates, and how those are written down."""

import json
from functools import cache
from itertools import product
from typing import Any

from penstock.manifest.checks import check
from penstock.manifest.model import Manifest
from penstock.targets.aws.stack import DomainFacts
from penstock.targets.sagemaker.deployment import SUPPORTED
from penstock.targets.sagemaker.stacks import Emitted, Observed
from penstock.wiring.cloud import emit_stacks

ADAPTERS = {"org-a": "s3://adapters/org-a.tar.gz", "org.b": "s3://adapters/org-b.tar.gz"}
ROLE = "arn:aws:iam::123456789012:role/sagemaker-execution"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TOKEN = "${secret:arn:aws:secretsmanager:us-east-1:123456789012:secret:hf-AbCdEf}"
NETWORK = {"subnets": ["subnet-0a1b2c3d", "subnet-4e5f6a7b"], "security_groups": ["sg-0a1b2c3d"]}
DOMAIN = DomainFacts(
    "d-abcdef123456",
    "vpc-1",
    ("subnet-0a1b2c3d", "subnet-4e5f6a7b"),
    ("sg-0a1b2c3d",),
    f"{ROLE}-of-domain",
)
SECRET = "${{secret:arn:aws:secretsmanager:us-east-1:123456789012:secret:{}-AbCdEf}}"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/1234abcd-12ab-34cd-56ef-1234567890ab"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/gateway:1"
HTTPS = {"kind": "gateway", "domain": "chat.example.com", "zone": "Z0123456789ABCDEFGHIJ"}
INSIDE = {"kind": "gateway", "plain_http": True, "internal": True}
MODES = ("realtime", "components", "async")
UPDOWN, ASLEEP = {"min": 1, "max": 4}, {"min": 0, "max": 2}

CASES: dict[str, dict[str, Any]] = {
    "realtime": {},
    "realtime-scaled": {
        "scale": UPDOWN,
        "target": {"alarm_email": "ops@example.com", "usd_per_month": 1500},
    },
    "realtime-shipped": {"model": {"id": "embedded"}},
    "realtime-role": {"target": {"role": ROLE, "network": NETWORK}},
    "realtime-domain": {"target": {"domain": DOMAIN.id}},
    "realtime-key": {"target": {"kms_key": KEY, "hub_token": TOKEN}},
    "realtime-many-gpus": {
        "target": {"instances": ["g5.12xlarge"]},
        "engine": {"tensor_parallel": 2, "extra_args": ["--seed", "7"]},
    },
    "realtime-copies": {
        "target": {"instances": ["g5.12xlarge"]},
        "engine": {"tensor_parallel": 1, "max_sequences": 16},
        "scale": {"min": 4, "max": 12, "queue_per_replica": 4},
    },
    "realtime-lmi": {"engine": {"kind": "lmi", "max_sequences": 32}},
    "realtime-tgi": {
        "engine": {"kind": "tgi"},
        "model": {"id": "meta-llama/Llama-2-7b-chat-hf", "context": 4096, "quantization": "nf4"},
    },
    "realtime-triton": {"engine": {"kind": "triton", "max_sequences": 16}},
    "async-triton": {"target": {"mode": "async"}, "engine": {"kind": "triton"}},
    "components-tgi": {"target": {"mode": "components"}, "engine": {"kind": "tgi"}},
    "serverless-own-image": {
        "target": {
            "mode": "serverless",
            "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/on-cpus:1",
        }
    },
    "realtime-own-image": {
        "target": {"image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1"}
    },
    "components": {"target": {"mode": "components"}, "scale": UPDOWN},
    "components-asleep": {"target": {"mode": "components"}, "scale": ASLEEP},
    "components-adapters": {
        "target": {"mode": "components"},
        "scale": ASLEEP,
        "adapters": ADAPTERS,
    },
    "components-many-gpus": {
        "target": {"mode": "components", "instances": ["g5.12xlarge"]},
        "engine": {"tensor_parallel": 1},
        "scale": {"min": 3, "max": 9},
    },
    "components-domain": {"target": {"mode": "components", "domain": DOMAIN.id}},
    "components-folder": {
        "target": {"mode": "components"},
        "model": {"id": "s3://models/mine/"},
    },
    "components-lmi": {
        "target": {"mode": "components"},
        "engine": {"kind": "lmi"},
        "adapters": ADAPTERS,
    },
    "async": {"target": {"mode": "async"}, "scale": UPDOWN},
    "async-asleep": {"target": {"mode": "async", "kms_key": KEY}, "scale": ASLEEP},
    "async-lmi": {"target": {"mode": "async"}, "engine": {"kind": "lmi", "max_sequences": 8}},
    "async-domain": {"target": {"mode": "async", "domain": DOMAIN.id}},
    "realtime-network": {"target": {"network": {"own": True}, "kms_key": "own"}},
    "realtime-canary": {
        "target": {"update": {"policy": "canary", "percent": 25, "alarms": ["checkout"]}},
        "scale": {"min": 2, "max": 2},
    },
    "realtime-linear": {"target": {"update": {"policy": "linear", "wait_s": 60}}},
    "realtime-rolling": {
        "target": {"update": {"policy": "rolling", "percent": 50}},
        "scale": {"min": 2, "max": 4},
    },
    "components-rolling": {
        "target": {"mode": "components", "update": {"policy": "rolling", "wait_s": 30}}
    },
    "gateway": {"front": HTTPS},
    "gateway-managed": {
        "front": HTTPS | {"state": "managed", "tasks_min": 2, "tasks_max": 6, "waf": True},
        "ui": "open-webui",
        "target": {
            "mode": "components",
            "kms_key": "own",
            "alarm_email": "ops@example.com",
            "network": {"own": True, "egress": "endpoints"},
        },
        "model": {"id": "s3://models/mine/"},
        "adapters": ADAPTERS,
        "scale": ASLEEP,
        "tenants": {"org-a": {"models": ["org-a"], "usd_per_month": 200}, "org.b": {}},
        "prices": {"mine": {"prompt": 0.5, "completion": 1.5}},
    },
    "gateway-given": {
        "front": INSIDE | {"state": "given", "image": IMAGE, "tasks_max": 3},
        "registry": {"url": SECRET.format("db"), "counters": SECRET.format("valkey")},
        "target": {"network": NETWORK | {"vpc": "vpc-0a1b2c3d"}},
        "audit": {"to": "s3://audit/here", "kms_key": "alias/audit"},
        "tools": {
            "crm": {"mcp": "https://crm.example.com:8443/mcp", "secret": SECRET.format("c")}
        },
        "turns": {"key": SECRET.format("turns")},
    },
    "gateway-domain": {
        "front": INSIDE,
        "target": {"domain": DOMAIN.id, "kms_key": KEY},
        "ui": "open-webui",
    },
    "gateway-certificate": {
        "front": {"kind": "gateway", "domain": "chat.example.com", "certificate": CERTIFICATE},
        "engine": {"kind": "lmi"},
    },
    "rest": {"front": {"kind": "rest"}},
    "rest-components": {
        "front": {"kind": "rest", "waf": True, "size": "large"},
        "target": {"mode": "components", "kms_key": KEY},
        "adapters": ADAPTERS,
        "tenants": {"org-a": {"requests_per_second": 5, "burst": 10}, "org.b": {}},
    },
}


FRONTS: dict[str, dict[str, Any]] = {
    "none": {},
    "gateway": {"front": INSIDE},
    "gateway-and-all": {
        "front": INSIDE | {"state": "managed", "tasks_max": 3, "waf": True},
        "ui": "open-webui",
    },
    "rest": {"front": {"kind": "rest", "waf": True}},
}
PLACES: dict[str, dict[str, Any]] = {
    "standalone": {},
    "integrated": {"domain": DOMAIN.id},
    "own-network": {"network": {"own": True}, "kms_key": "own"},
}


def combinations() -> dict[str, dict[str, Any]]:
    """Every mode with every engine, front and place that go together, by name.

    A network of its own is the same for every engine.
    """
    found: dict[str, dict[str, Any]] = {}
    for mode, kind, front, place in product(MODES, SUPPORTED, FRONTS, PLACES):
        if mode not in SUPPORTED[kind]:
            continue
        if place == "own-network" and kind != "vllm":
            continue
        if front != "none" and (mode == "async" or kind in ("tgi", "triton")):
            continue
        target = {"mode": mode} | PLACES[place]
        case = {"engine": {"kind": kind}, "target": target} | FRONTS[front]
        found[f"{mode}-{kind}-{front}-{place}"] = case
    return found


def manifest_of(**sections: Any) -> Manifest:
    """A manifest for SageMaker that passes all checks."""
    target = {"kind": "sagemaker", "region": "us-east-1", "instances": ["g5.xlarge"]}
    given: dict[str, Any] = {"name": "support-bot"}
    given["model"] = {"id": "Qwen/Qwen3-0.6B", "context": 4096}
    given |= sections | {"target": target | sections.get("target", {})}
    manifest = Manifest.model_validate(given)
    assert check(manifest) == []
    return manifest


@cache
def emitted(name: str) -> Emitted:
    """The stacks of a case, or of a combination."""
    manifest = manifest_of(**{**combinations(), **CASES}[name])
    domain = DOMAIN if manifest.target.domain else None
    return emit_stacks(manifest, Observed("us-east-1", domain=domain))


def written(stacks: Emitted) -> str:
    """Both templates with a line for each resource, parameter and output.

    What the gateway's package and settings contain is another matter: their digests are left out.
    """
    lines = []
    for stack in (stacks.base, stacks.main):
        lines.append(f"{stack.name} {json.dumps(dict(stack.parameters))}")
        for section, entries in stack.template.items():
            if isinstance(entries, dict):
                lines += [f"{section} {name}: {json.dumps(entries[name])}" for name in entries]
    lines += [f"upload {upload.key}" for upload in stacks.uploads]
    lines += [f"image {build.tag} of {build.source}" for build in stacks.builds]
    text = "\n".join(lines) + "\n"
    for upload in stacks.uploads:
        _, digest, file = upload.key.split("/")
        if file in ("gateway.json", "gateway.zip"):
            text = text.replace(digest, f"({file})")
    return text
