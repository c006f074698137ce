"""`penstock render`: a folder that deploys by itself, and the policy of whoever does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.targets.sagemaker.cases import CASES, emitted

from penstock.cli.app import main
from penstock.targets.aws.deployer_policy import deployer_policy

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
