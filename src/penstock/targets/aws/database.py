"""A deployment's database: it holds tenants, keys and usage, and goes with its stack."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from penstock.ground.errors import CloudError
from penstock.plan.carrying_out import Tell
from penstock.plan.steps import Found, Kind, Piece, Verb
from penstock.targets.aws.account import Account
from penstock.targets.aws.patience import Patience
from penstock.targets.aws.refusals import aws_errors, code_of
from penstock.targets.aws.stack import DEPLOYMENT_TAG

LONGEST_NAME = 63
GONE = {"DBClusterSnapshotNotFoundFault", "DBClusterSnapshotNotFound"}


class SnapshotPart:
    """A last snapshot of the database cluster that `cluster` names, if there is one."""

    def __init__(self, account: Account, deployment: str, cluster: Callable[[], str]) -> None:
        self.piece = Piece("data", Kind.DATA, "a snapshot of the database")
        self._client: Any = account.client("rds")
        self._deployment, self._cluster = deployment, cluster

    def find(self) -> Found:
        """Present where there is a database whose last snapshot is not complete yet."""
        cluster = self._cluster()
        saved = not cluster or self._state(_snapshot(cluster)) == "available"
        return Found.ABSENT if saved else Found.PRESENT

    def do(self, verb: Verb, tell: Tell) -> None:
        """Make it, and wait until it is complete.

        Raises:
            CloudError: AWS could not make it.
        """
        cluster = self._cluster()
        name = _snapshot(cluster)
        if not self._state(name):
            with aws_errors("RDS"):
                self._client.create_db_cluster_snapshot(
                    DBClusterSnapshotIdentifier=name,
                    DBClusterIdentifier=cluster,
                    Tags=[{"Key": DEPLOYMENT_TAG, "Value": self._deployment}],
                )
        patience = Patience(f"snapshot {name}")
        while (state := self._state(name)) != "available":
            if state == "failed":
                raise CloudError(f"the snapshot {name} has failed", fix="Destroy again")
            patience.pause()
        tell(f"{name}: kept; it costs money until you delete it")

    def _state(self, name: str) -> str:
        with aws_errors("RDS"):
            try:
                told = self._client.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)
            except ClientError as error:
                if code_of(error) in GONE:
                    return ""
                raise
        found = told["DBClusterSnapshots"]
        return str(found[0]["Status"]) if found else ""


def _snapshot(cluster: str) -> str:
    """The name of a cluster's last snapshot."""
    return f"{cluster[: LONGEST_NAME - 5].rstrip('-')}-kept"
