"""What the templates promise, beyond their wording."""

import io
import json
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.targets.sagemaker.cases import ADAPTERS, CASES, DOMAIN, ROLE, emitted, manifest_of

from penstock.ground.errors import UserError
from penstock.manifest.checks import check
from penstock.manifest.model import Manifest
from penstock.targets.sagemaker.dialects import dialect_of
from penstock.targets.sagemaker.handbook import upload_bytes
from penstock.targets.sagemaker.stacks import Observed, emit

UNTAGGED = {
    *("Alias", "BucketPolicy", "Budget", "Deployment", "Method", "MountTarget", "Permission"),
    *("RecordSet", "Resource", "Route", "ScalingPolicy", "SecurityGroupEgress"),
    *("SecurityGroupIngress", "SubnetRouteTableAssociation", "Subscription", "UsagePlanKey"),
    *("VPCGatewayAttachment", "WebACLAssociation"),
}
"""What AWS knows no tags of."""
NAMES = {"SageMakerIntegrationMode", "EndpointName", "Region", "DashboardUrl", "CurlExample"}


def resources(name: str, kind: str = "") -> dict[str, Any]:
    """The main stack's resources of one type."""
    every: Any = emitted(name).main.template["Resources"]
    return {key: each for key, each in every.items() if each["Type"].endswith(kind)}


@pytest.mark.parametrize("name", CASES)
def test_endpoint_configurations_have_no_name_and_clients_an_address(name: str) -> None:
    (config,) = resources(name, "::EndpointConfig").values()
    assert "EndpointConfigName" not in config["Properties"]
    outputs: Any = emitted(name).main.template["Outputs"]
    assert set(outputs) >= NAMES


@pytest.mark.parametrize("name", CASES)
def test_everything_that_can_be_tagged_is(name: str) -> None:
    for stack in (emitted(name).base, emitted(name).main):
        every: Any = stack.template["Resources"]
        for each in every.values():
            given = each["Properties"]
            names = ("Tags", "FileSystemTags", "AccessPointTags")
            tags: Any = next((given[name] for name in names if name in given), [])
            assert tags or each["Type"].rpartition(":")[2] in UNTAGGED, each["Type"]
            assert not tags or {"Key": "penstock:deployment", "Value": "support-bot"} in tags


def test_adapters_lean_on_the_base_and_have_nothing_of_their_own() -> None:
    components = resources("components-adapters", "::InferenceComponent")
    base = components.pop("BaseComponent")["Properties"]
    assert base["Specification"]["ComputeResourceRequirements"]["MinMemoryRequiredInMb"] == 1024
    assert len(components) == 2
    for adapter in components.values():
        properties = adapter["Properties"]
        specification = properties["Specification"]
        assert specification["BaseInferenceComponentName"] == base["InferenceComponentName"]
        assert set(specification) == {"BaseInferenceComponentName", "Container"}
        assert "RuntimeConfig" not in properties
        assert "BaseComponent" in adapter["DependsOn"]


def outputs(name: str) -> dict[str, str]:
    """The main stack's outputs as text, with names of its parameters in braces."""
    every: Any = emitted(name).main.template["Outputs"]
    told = {title: each["Value"] for title, each in every.items()}
    return {t: v if isinstance(v, str) else next(iter(v.values())) for t, v in told.items()}


def test_every_adapter_has_an_address() -> None:
    told = outputs("components-adapters")
    for component in told["InferenceComponents"].split(","):
        place = f"/inference-components/{component}/openai/v1"
        assert any(value.endswith(place) for name, value in told.items() if "OpenAI" in name)


@pytest.mark.parametrize("name", [name for name in CASES if "front" not in CASES[name]])
def test_an_endpoint_can_be_asked_without_penstock(name: str) -> None:
    """By the AWS CLI alone, in the dialect of its container."""
    told = outputs(name)
    if CASES[name].get("target", {}).get("mode") == "async":
        line = told["CurlExample"]
        assert {"QuestionsUrl", "AnswersUrl", "FailuresUrl"} <= set(told)
        assert {"AnsweredTopicArn", "FailedTopicArn"} <= set(told)
        words = shlex.split(line.partition("|")[0])[1]
    else:
        line = told["InvokeExample"]
        words = shlex.split(line)[shlex.split(line).index("--body") + 1]
    assert "aws sagemaker-runtime invoke-endpoint" in line
    dialect = dialect_of(CASES[name].get("engine", {}).get("kind", "vllm"))
    key = {"chat": "messages", "tgi": "inputs", "triton": "text_input"}[dialect]
    assert key in json.loads(words)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("components")])
def test_an_endpoint_begins_with_no_more_machines_than_its_scaling_may_start(name: str) -> None:
    """SageMaker refuses it else."""
    (config,) = resources(name, "::EndpointConfig").values()
    (variant,) = config["Properties"]["ProductionVariants"]
    bounds, begun = variant["ManagedInstanceScaling"], variant["InitialInstanceCount"]
    assert bounds["MinInstanceCount"] <= begun <= bounds["MaxInstanceCount"]


def test_machines_are_as_many_as_hold_the_copies() -> None:
    (config,) = resources("components-many-gpus", "::EndpointConfig").values()
    (variant,) = config["Properties"]["ProductionVariants"]
    assert variant["InitialInstanceCount"] == 1  # three copies on the four GPUs of one
    assert variant["ManagedInstanceScaling"]["MaxInstanceCount"] == 3
    base = resources("components-many-gpus")["BaseComponent"]["Properties"]
    assert base["RuntimeConfig"] == {"CopyCount": 3}


def test_copies_that_share_a_machine_are_scaled_with_it() -> None:
    """Four to twelve copies are one to three machines with four GPUs, not four to twelve."""
    made = resources("realtime-copies")
    (variant,) = made["EndpointConfig"]["Properties"]["ProductionVariants"]
    assert variant["InitialInstanceCount"] == 1
    target = made["ScalableTarget"]["Properties"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    policy = made["TrackingPolicy"]["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    assert policy["TargetValue"] == 4 * (16 + 4)
    environment = made["Model"]["Properties"]["PrimaryContainer"]["Environment"]
    assert environment["SM_VLLM_DATA_PARALLEL_SIZE"] == "4"


def test_a_sleeping_component_wakes_by_a_step() -> None:
    (alarm,) = [
        each["Properties"]
        for each in resources("components-asleep", "::Alarm").values()
        if each["Properties"].get("MetricName") == "NoCapacityInvocationFailures"
    ]
    assert alarm["AlarmActions"] == [{"Ref": "WakingPolicy"}]
    assert alarm["Threshold"] == 1
    policies = resources("components-asleep", "::ScalingPolicy")
    kinds = {each["Properties"]["PolicyType"] for each in policies.values()}
    assert kinds == {"TargetTrackingScaling", "StepScaling"}
    (config,) = resources("components-asleep", "::EndpointConfig").values()
    (variant,) = config["Properties"]["ProductionVariants"]
    assert variant["ManagedInstanceScaling"]["MinInstanceCount"] == 0
    assert "ModelName" not in variant


def test_what_exists_already_is_used_and_not_made() -> None:
    for name, role in (("realtime-role", ROLE), ("realtime-domain", DOMAIN.execution_role)):
        stacks = emitted(name)
        made: Any = stacks.base.template["Resources"]
        assert set(made) == {"Bucket", "BucketPolicy"}
        assert stacks.base.capabilities == ()
        assert stacks.main.parameters["ExecutionRoleArn"] == role
        assert "subnet-0a1b2c3d" in stacks.main.parameters["SubnetIds"]


def test_the_execution_role_manages_nothing() -> None:
    for name in CASES:
        roles: Any = emitted(name).base.template["Resources"]
        text = json.dumps(roles.get("ExecutionRole", {}))
        assert "sagemaker:" not in text
        assert "PassRole" not in text


def test_the_shipped_model_travels_as_an_archive() -> None:
    (upload,) = emitted("realtime-shipped").uploads
    with tarfile.open(fileobj=io.BytesIO(upload_bytes(upload))) as archive:
        assert {"config.json", "model.safetensors"} <= set(archive.getnames())
    assert upload.key.startswith("support-bot/")


def test_triton_gets_its_repository_with_the_adapters(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"r": 16}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    manifest = manifest_of(
        engine={"kind": "triton", "max_sequences": 16, "prefix_caching": False},
        adapters={"org-a": str(tmp_path)},
    )
    (upload,) = emit(manifest, Observed("us-east-1")).uploads
    assert upload.key.endswith("/model_repository.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(upload_bytes(upload))) as archive:
        files = {name: archive.extractfile(name) for name in archive.getnames()}
        read = {name: file.read() for name, file in files.items() if file}
    assert b'backend: "vllm"' in read["Qwen3-0.6B/config.pbtxt"]
    arguments = json.loads(read["Qwen3-0.6B/1/model.json"])
    assert arguments["model"] == "Qwen/Qwen3-0.6B"
    assert arguments["max_model_len"] == 4096
    assert arguments["max_num_seqs"] == 16
    assert arguments["enable_lora"] is True
    assert arguments["max_lora_rank"] == 16
    assert arguments["enable_prefix_caching"] is False
    assert "tool_call_parser" not in arguments
    folder = "Qwen3-0.6B/1/adapters/org-a"
    loras = json.loads(read["Qwen3-0.6B/1/multi_lora.json"])
    assert loras == {"org-a": f"/opt/ml/model/{folder}"}
    assert read[f"{folder}/adapter_model.safetensors"] == b"weights"


def test_names_of_components_are_fit_and_never_shared() -> None:
    names = ["a.b", "a-b", "a_b", "base", "x" * 63, "x" * 62 + "y"]
    manifest = manifest_of(
        target={"mode": "components"},
        adapters=dict.fromkeys(names, "s3://adapters/a.tar.gz"),
    )
    every: Any = emit(manifest, Observed("us-east-1")).main.template["Resources"]
    given = [
        each["Properties"]["InferenceComponentName"]
        for each in every.values()
        if each["Type"] == "AWS::SageMaker::InferenceComponent"
    ]
    assert len(set(given)) == len(names) + 1
    assert max(map(len, given)) <= 63


@pytest.mark.parametrize(
    ("sections", "why"),
    [
        ({"target": {"mode": "serverless"}}, "needs a GPU"),
        ({"adapters": {"org-a": "s3://a/a.tar.gz"}}, "adapters cannot be served"),
        ({"engine": {"kind": "triton"}, "target": {"mode": "components"}}, "cannot be served in"),
        ({"engine": {"kind": "triton"}, "model": {"id": "s3://a/b"}}, "cannot serve s3://a/b"),
        ({"engine": {"kind": "triton"}, "adapters": {"a": "./nowhere"}}, "is no folder here"),
        (
            {"target": {"mode": "components"}, "engine": {"kind": "tgi"}, "adapters": ADAPTERS},
            "TGI serves no adapters",
        ),
        (
            {"target": {"mode": "serverless", "image": "x", "domain": "d-a"}},
            "has no network of yours",
        ),
        ({"model": {"id": "a/b", "quantization": "nf4"}}, "cannot be served by vLLM"),
        ({"engine": {"extra_args": ["--allowed-origins", "a", "b"]}}, "has 2 values"),
        ({"target": {"instances": ["m5.xlarge"]}}, "has no GPU that the catalogue knows"),
        ({"target": {"instances": ["inf2.xlarge"]}}, "cannot be used"),
        ({"engine": {"tensor_parallel": 4}}, "more than the 1 GPUs"),
    ],
)
def test_what_cannot_be_is_refused(sections: dict[str, Any], why: str) -> None:
    manifest = manifest_of(**sections)
    with pytest.raises(UserError, match=why):
        emit(manifest, Observed("us-east-1"))


@pytest.mark.parametrize(
    ("sections", "what"),
    [
        ({"scale": {"min": 0}}, "does not scale to zero"),
        ({"engine": {"replicas": 2}}, "engine.replicas has no effect"),
        ({"target": {"usd_per_month": 9}}, "nobody is told"),
        ({"target": {"hub_token": "${env:HF_TOKEN}"}}, "which SageMaker cannot read"),
        ({"target": {"network": {"subnets": ["subnet-1"]}}}, "and not both"),
        ({"target": {"copy_memory_mib": 2048}}, "has no effect on target.mode realtime"),
        (
            {"target": {"mode": "components"}, "adapters": {"org-a": "./here"}},
            "is not in S3",
        ),
        ({"target": {"kind": "ecs", "domain": "d-abc"}}, "no effect on target.kind ecs"),
        ({"target": {"kind": "eks"}, "engine": {"kind": "lmi"}}, "is a container of SageMaker"),
    ],
)
def test_what_does_not_fit_is_told_by_validate(sections: dict[str, Any], what: str) -> None:
    target = {"kind": "sagemaker"} | sections.get("target", {})
    manifest = Manifest.model_validate({"model": {"id": "a/b"}} | sections | {"target": target})
    assert any(what in flaw.what for flaw in check(manifest))


def test_templates_need_no_boto3() -> None:
    code = "import sys, penstock.targets.sagemaker.stacks; sys.exit('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
