"""A deployment to AWS, put together; boto3 is imported only here, when a command needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.ground.errors import MachineError, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.manifest.model import Manifest
    from penstock.plan.carrying_out import Tell
    from penstock.targets.sagemaker.deployer import Deployer


@contextmanager
def open_deployer(
    manifest: Manifest, hub_cache: Path, *, keep_wreck: bool = False, by_docker: bool = False
) -> Iterator[Deployer]:
    """The deployer of a manifest, with connections that end with the context.

    A front's images are built by the Docker of this machine where `by_docker` is set and there is
    one for x86, else by CodeBuild.

    Raises:
        MachineError: boto3 is not installed.
        UserError: the manifest's target is not one that is deployed to, or no region is known.
    """
    if manifest.target.kind != "sagemaker":
        raise UserError(
            f"target.kind {manifest.target.kind} is not deployed to",
            why="a local stack is started by `penstock up`"
            if manifest.target.kind == "local"
            else "there are no templates for it yet",
            fix="Set target.kind: sagemaker",
        )
    try:
        from penstock.targets.aws.account import Account
        from penstock.targets.aws.docker import Docker
        from penstock.targets.sagemaker.deployer import Deployer, Here
    except ImportError:
        fix = "Install it: pip install 'penstock[aws]'"
        raise MachineError("AWS is asked by boto3", fix=fix) from None
    import os

    via = os.environ.get("PENSTOCK_FRONT_VIA", "")
    from penstock.wiring.cloud import gateway_files

    with Account(manifest.target.region) as account:
        gateway = gateway_files(manifest, account.region)
        # A stand-in for AWS has no registry that Docker could push to.
        wanted = by_docker and gateway and gateway.builds and account.is_real
        docker = Docker.find() if wanted else None
        here = Here(via, docker)
        yield Deployer(
            account, manifest, hub_cache, keep_wreck=keep_wreck, gateway=gateway, here=here
        )


def require_role(deployer: Deployer, tell: Tell) -> None:
    """See `targets/doctor/cloud.py`."""
    from penstock.targets.doctor import cloud

    cloud.require_role(deployer, tell)
