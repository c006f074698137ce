"""`penstock doctor` against the stand-in: what goes wrong there is found, and named."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.rehearsal.account import Account

from penstock.cli.app import main

MANIFEST = """
name: bot
model: {{id: embedded, context: 2048}}
target: {{kind: sagemaker, region: us-east-1, mode: {mode}, instances: [g5.xlarge]{more}}}
scale: {{min: {least}, max: 1}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(mode: str = "components", least: int = 1, more: str = "") -> None:
    Path("penstock.yaml").write_text(MANIFEST.format(mode=mode, least=least, more=more))


def doctor(capfd: pytest.CaptureFixture[str]) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit code, and the findings by check."""
    capfd.readouterr()
    code = main(["doctor", "--json"])
    found: dict[str, list[dict[str, Any]]] = {}
    for line in capfd.readouterr().out.splitlines():
        finding = json.loads(line)
        found.setdefault(finding["check"], []).append(finding)
    return code, found


@pytest.mark.parametrize(
    ("fault", "mode", "causes"),
    [
        ("memory", "components", {"cause.gpu-memory"}),
        ("memory", "realtime", {"cause.gpu-memory"}),
        ("capacity", "realtime", {"cause.capacity"}),
        ("quota", "realtime", {"cause.quota"}),
        ("health_check", "realtime", {"cause.wrong-image"}),
        ("download", "realtime", {"cause.download"}),
    ],
)
def test_a_failed_deployment_is_explained(
    aws: Account,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    fault: str,
    mode: str,
    causes: set[str],
) -> None:
    write(mode)
    aws.order("faults", {"kind": fault})
    assert main(["deploy", "--yes", "--no-rollback"]) != 0
    code, found = doctor(capfd)
    assert code == 1
    assert causes <= set(found)
    assert any(each["verdict"] == "failed" for each in found["deployment.stack"])
    for cause in causes:
        assert found[cause][0]["fix"]
        assert found[cause][0]["evidence"]
    aws.order("faults", method="DELETE")
    assert main(["destroy", "--yes"]) == 0


def test_a_user_that_may_only_look_is_told_what_it_lacks(
    aws: Account,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    iam = aws.client("iam")
    iam.create_user(UserName="visitor")
    looking = {"Effect": "Allow", "Action": ["*:Describe*", "*:Get*", "*:List*"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [looking]})
    iam.put_user_policy(UserName="visitor", PolicyName="look", PolicyDocument=policy)
    key = iam.create_access_key(UserName="visitor")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    write()
    code, found = doctor(capfd)
    (lacking,) = found["permissions.deployer"]
    assert code == 1
    assert lacking["verdict"] == "failed"
    assert "user/visitor" in lacking["evidence"]
    told = json.dumps(lacking["policy"])
    assert "sagemaker:CreateEndpoint" in told
    assert "cloudformation:ExecuteChangeSet" in told
    assert "sagemaker:DescribeEndpoint" not in told


def test_before_anything_is_deployed(
    aws: Account, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write()
    _, found = doctor(capfd)
    assert found["deployment.stack"][0]["says"] == "nothing is deployed yet"
    assert found["quotas.machines"][0]["evidence"].startswith("Service Quotas, sagemaker")
    for check in ("credentials.identity", "credentials.clock", "capacity.zones", "sizes.machine",
                  "sizes.copy", "image.driver", "model.files", "network.subnets"):  # fmt: skip
        assert found[check][0]["verdict"] == "ok", found[check]
    assert not [check for check in found if check.startswith("cause")]


def test_a_network_that_leads_nowhere(
    aws: Account, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone="us-east-1a")
    name = subnet["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    write(more=f", network: {{subnets: [{name}], security_groups: [{group}]}}")
    code, found = doctor(capfd)
    assert code == 1
    assert "no way out" in found["network.routes"][0]["says"]
    assert found["network.zones"][0]["verdict"] == "warning"
    assert found["network.groups"][0]["verdict"] == "ok"

    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])[
        "RouteTables"
    ]
    route = {"RouteTableId": table["RouteTableId"], "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.create_route(GatewayId=gateway, **route)
    _, found = doctor(capfd)
    assert "no public address" in found["network.routes"][0]["says"]

    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=name, AllocationId=address)["NatGateway"]
    ec2.replace_route(NatGatewayId=nat["NatGatewayId"], **route)
    _, found = doctor(capfd)
    assert found["network.routes"][0]["verdict"] == "ok", found["network.routes"]


def test_an_image_and_a_model_that_are_not_there(
    aws: Account, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    uri = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"
    write("realtime", more=f", image: '{uri}'")
    text = Path("penstock.yaml").read_text()
    Path("penstock.yaml").write_text(text.replace("id: embedded", "id: s3://nobodys/model.tar.gz"))
    code, found = doctor(capfd)
    assert code == 1
    assert found["image.exists"][0]["verdict"] == "failed"
    assert found["model.files"][0]["verdict"] == "failed"
    ecr, s3 = aws.client("ecr"), aws.client("s3")
    ecr.create_repository(repositoryName="own")
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind})
    ecr.put_image(
        repositoryName="own", imageTag="1", imageManifest=manifest, imageManifestMediaType=kind
    )
    s3.create_bucket(Bucket="nobodys")
    s3.put_object(Bucket="nobodys", Key="model.tar.gz", Body=b"x")
    _, found = doctor(capfd)
    assert found["image.exists"][0]["verdict"] == "ok"
    assert found["model.files"][0]["verdict"] == "ok"


def test_credentials_that_nobody_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    _, found = doctor(capfd)
    assert found["credentials"][0]["verdict"] == "unknown"
    assert "wants credentials" in found["credentials"][0]["says"]


def test_this_machine(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("penstock.yaml").write_text("gateway: {port: 0}\n")
    code, found = doctor(capfd)
    assert code == 0
    assert found["machine.port"][0]["verdict"] == "ok"
    assert found["machine.engine"][0]["says"] == "the embedded engine can run here"
    Path("penstock.yaml").write_text("engine: {kind: openai, url: http://127.0.0.1:9}\n")
    code, found = doctor(capfd)
    assert code == 1
    assert "nothing answers" in found["machine.server"][0]["says"]


def test_for_people(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("penstock.yaml").write_text(
        "gateway: {port: 0}\nengine: {kind: openai, url: http://127.0.0.1:9}\n"
    )
    capfd.readouterr()
    assert main(["doctor", "--brief"]) == 1
    ran = capfd.readouterr()
    assert "FAILED   machine.server: nothing answers at http://127.0.0.1:9" in ran.out
    assert "do:   Start it." in ran.out
    assert "machine.port" not in ran.out
    assert "1 failed" in ran.err
