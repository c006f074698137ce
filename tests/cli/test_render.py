"""`penstock render`: a folder that deploys by itself, and the policy of whoever does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.targets.sagemaker.cases import CASES, KEY, emitted

from penstock.cli.app import main
from penstock.targets.aws.deployer_policy import MAKE_LINKED, deployer_policy
from penstock.targets.aws.policy_parts import (
    MOST_CHARACTERS,
    MOST_POLICIES,
    length,
    policy_parts,
)
from penstock.targets.aws.roles import allow, document

MANIFEST = """
name: support-bot
model: {id: embedded}
target: {kind: sagemaker, region: eu-west-1, instances: [g5.xlarge]}
"""
WITHOUT_RESOURCE = {
    *("CreateCluster", "CreateHostedZone", "CreateKey", "CreateLogDelivery", "DeleteHostedZone"),
    *("CreatePrivateDnsNamespace", "DeleteLogDelivery", "DeleteScalingPolicy"),
    *("DeregisterScalableTarget", "DeregisterTaskDefinition", "PutScalingPolicy"),
    *("RegisterScalableTarget", "RegisterTaskDefinition", "RequestCertificate"),
    *("TagResource", "UntagResource"),
}
"""What changes something and has no resource to name, or one that AWS chooses."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "penstock.yaml").write_text(MANIFEST)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_what_deploys_without_penstock(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rendered = folder / "rendered"
    for file in told["files"]:
        assert (rendered / file).is_file()
    for script in ("deploy.sh", "destroy.sh"):
        assert subprocess.run(["bash", "-n", str(rendered / script)], check=False).returncode == 0
    deploy = (rendered / "deploy.sh").read_text()
    assert '"s3://$bucket/support-bot/' in deploy
    assert "eu-west-1" in deploy
    assert "763104351884.dkr.ecr.eu-west-1" in (rendered / "main.json").read_text()
    for workflow in (rendered / "workflows").iterdir():
        job = yaml.safe_load(workflow.read_text())
        assert job["permissions"]["id-token"] == "write"


@pytest.mark.parametrize("name", CASES)
def test_the_policy_covers_every_resource_and_nothing_wide(name: str) -> None:
    stacks = emitted(name)
    policy = deployer_policy("support-bot", (stacks.base.template, stacks.main.template))
    text = json.dumps(policy)
    assert '"*:*"' not in text
    for statement in policy["Statement"]:  # type: ignore[attr-defined]
        assert not any(action.endswith(":*") for action in statement["Action"])
        if "*" in statement["Resource"]:
            plain = {each.partition(":")[2] for each in statement["Action"]} - WITHOUT_RESOURCE
            assert all(each.startswith(("Describe", "List", "Get")) for each in plain), plain


def test_an_existing_role_may_be_passed_to_sagemaker_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    role = "arn:aws:iam::123456789012:role/x"
    (folder / "penstock.yaml").write_text(MANIFEST.replace("region:", f"role: '{role}', region:"))
    assert main(["render", "--iam", "--json"]) == 0
    policy = json.loads(capsys.readouterr().out)
    (passing,) = [each for each in policy["Statement"] if each["Action"] == ["iam:PassRole"]]
    assert passing["Resource"] == [role]
    assert passing["Condition"]["StringEquals"]["iam:PassedToService"].startswith("sagemaker.")


def test_a_local_stack_has_no_templates(folder: Path) -> None:
    (folder / "penstock.yaml").write_text("name: here\n")
    assert main(["render"]) == 2


def test_plan_and_help_do_not_load_troposphere() -> None:
    code = (
        "import sys, penstock.cli.app, penstock.cli.plan; sys.exit('troposphere' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", CASES)
def test_the_parts_of_a_policy_fit_and_say_the_same(name: str) -> None:
    stacks = emitted(name)
    policy = deployer_policy("support-bot", (stacks.base.template, stacks.main.template))
    parts = policy_parts(policy)
    assert all(length(part) <= MOST_CHARACTERS for part in parts)
    assert len(parts) <= MOST_POLICIES
    assert _allowed(policy) == sorted(each for part in parts for each in _allowed(part))


def _allowed(policy: Any) -> list[str]:
    return sorted(
        f"{action} {resource}"
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    )


def test_a_statement_that_is_too_long_by_itself_is_halved() -> None:
    actions = [f"ec2:Describe{number:040}" for number in range(300)]
    policy = document([allow(actions, ["*"])])
    parts = policy_parts(policy)
    assert len(parts) > 1
    assert all(length(part) <= MOST_CHARACTERS for part in parts)
    assert [each for part in parts for each in _allowed(part)] == _allowed(policy)


def test_a_long_policy_says_how_it_is_attached(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "penstock.yaml").write_text(
        MANIFEST + "front: {kind: gateway, plain_http: true, internal: true, state: managed}"
    )
    assert main(["render", "--iam"]) == 0
    written = capsys.readouterr()
    json.loads(written.out)
    assert "parts (rendered/iam), and rendered/role.sh makes a role of them" in written.err


def test_services_that_were_never_used_may_make_their_roles() -> None:
    stacks = emitted("gateway-managed")
    policy: Any = deployer_policy("x", (stacks.base.template, stacks.main.template))
    (made,) = [each for each in policy["Statement"] if each["Action"] == [MAKE_LINKED]]
    services = {place.split("/")[2] for place in made["Resource"]}
    assert {"ecs.amazonaws.com", "rds.amazonaws.com", "elasticache.amazonaws.com"} <= services
    assert all(place.endswith(".amazonaws.com/*") for place in made["Resource"])


def test_a_key_that_exists_may_be_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "penstock.yaml").write_text(
        MANIFEST.replace("region:", f"kms_key: '{KEY}', region:")
    )
    assert main(["render", "--iam", "--json"]) == 0
    policy = json.loads(capsys.readouterr().out)
    (used,) = [each for each in policy["Statement"] if each["Resource"] == [KEY]]
    assert {"kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKey"} <= set(used["Action"])


def test_an_image_in_maintenance_is_told_of(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, words in (("vllm", ""), ("tgi", "in maintenance"), ("triton", "vLLM backend")):
        told = MANIFEST.replace("{id: embedded}", "{id: Qwen/Qwen3-0.6B}")
        (folder / "penstock.yaml").write_text(f"{told}engine: {{kind: {kind}}}")
        assert main(["render"]) == 0
        err = capsys.readouterr().err
        assert words in err
        assert ("Mind:" in err) is bool(words)
