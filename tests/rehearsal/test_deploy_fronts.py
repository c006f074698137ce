"""Deployments with a gateway before them, by the real command: images are built, it is asked."""

import io
import json
import re
from typing import Any

import pytest
from tests.rehearsal.account import wait_for
from tests.rehearsal.deployments import Deployments

from penstock.cli.output import ExitCode

INSIDE = {"kind": "gateway", "plain_http": True, "internal": True}
FRONTS: dict[str, dict[str, Any]] = {
    "gateway": {"front": INSIDE, "target": {"network": {"own": True}}},
    "rest": {"front": {"kind": "rest"}, "tenants": {"org-a": {}}},
}


@pytest.mark.parametrize("front", FRONTS)
def test_a_gateway_is_deployed_asked_and_removed(
    deployments: Deployments, monkeypatch: pytest.MonkeyPatch, front: str
) -> None:
    before = deployments.things()
    deployments.write(f"front-{front}", model={"id": "embedded"}, **FRONTS[front])
    _, err = deployments.run("deploy", "--yes")
    assert "apply image gateway-" in err
    assert re.search(r"/_at/\S+ (answers in \d+ ms: '\w|says that the model sleeps)", err), err

    def again() -> tuple[str, str] | None:
        """A gateway that was there before its endpoint asks to come again, as if it slept."""
        out, err = deployments.run("deploy", "--yes")
        return None if "says that the model sleeps" in err else (out, err)

    out, err = wait_for(again)
    assert "apply image" not in err
    assert re.search(r"/_at/\S+ answers in \d+ ms: '\w", err), err
    assert "GatewayUrl: " in out
    words = ("Hello", "--max-tokens", "6", "--temperature", "0")
    asked = ("--file", str(deployments.file))
    said, _ = deployments.run_with("invoke", *words, *asked)
    assert said.strip()
    assert deployments.run_with("invoke", *words, *asked, "--stream")[0].strip() == said.strip()
    out, _ = deployments.run_with("invoke", *words, *asked, "--json")
    assert json.loads(out)["model"] == "penstock-tiny"
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n"))
    assert deployments.run_with("chat", *asked)[0].strip()
    _, err = deployments.run_with(
        "invoke", *words, *asked, "--key", "nobody's-key-at-all", code=ExitCode.USAGE
    )
    assert "key" in err  # it was the gateway that was asked, for SageMaker has no such keys
    deployments.destroy()
    assert [each for each in deployments.things() if each not in before] == []


def test_a_build_that_fails_is_told_with_its_last_lines(deployments: Deployments) -> None:
    deployments.write("front-unbuilt", model={"id": "embedded"}, **FRONTS["rest"])
    deployments.aws.order("faults", {"kind": "build"})
    error = deployments.deploy(code=ExitCode.FAILED)["error"]
    assert error["what"] == "the image could not be built: FAILED"
    assert "Its last lines:" in error["why"]
    deployments.destroy()


def test_a_database_goes_only_when_told_and_may_be_saved(deployments: Deployments) -> None:
    """The database stands in a stack of its own here: what is done with it is the same."""
    aws, name = deployments.aws, "penstock-kept-base"
    deployments.write("kept")
    database = {
        "Type": "AWS::RDS::DBCluster",
        "Properties": {
            "Engine": "aurora-postgresql",
            "MasterUsername": "penstock",
            "MasterUserPassword": "not-a-secret",
        },
    }
    tags = [{"Key": "penstock:deployment", "Value": "kept"}]
    made = aws.deploy(name, {"Resources": {"Database": database}}, Tags=tags)
    assert made["StackStatus"] == "CREATE_COMPLETE"
    _, err = deployments.run("destroy", "--yes", code=ExitCode.USAGE)
    assert "--keep-data" in err
    _, err = deployments.run("destroy", "--yes", "--keep-data")
    assert "save a snapshot of the database" in err
    snapshots = aws.client("rds").describe_db_cluster_snapshots()["DBClusterSnapshots"]
    names = [each["DBClusterSnapshotIdentifier"] for each in snapshots]
    kept = [each for each in names if each.endswith("-kept")]
    assert len(kept) == 1
    aws.client("rds").delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=kept[0])
    assert aws.client("rds").describe_db_clusters()["DBClusters"] == []
