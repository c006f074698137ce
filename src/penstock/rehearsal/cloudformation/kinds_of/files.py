"""EFS: file systems, their mount targets and access points."""

from penstock.rehearsal.cloudformation.kinds import Api, Properties, Scene
from penstock.rehearsal.cloudformation.records import Made

POLICIES = frozenset({"LifecyclePolicies", "BackupPolicy", "FileSystemPolicy"})


def _settle_files(scene: Scene, made: Made) -> None:
    efs, wish = scene.client("efs"), made.properties
    if policies := wish.get("LifecyclePolicies"):
        efs.put_lifecycle_configuration(FileSystemId=made.physical_id, LifecyclePolicies=policies)


def _keep_a_backup(_: Scene, wish: Properties) -> Properties:
    wanted = wish.get("BackupPolicy", {}).get("Status") == "ENABLED"
    return {**wish, **({"Backup": True} if wanted else {})}


def _settle_target(scene: Scene, made: Made) -> None:
    if groups := made.properties.get("SecurityGroups"):
        scene.client("efs").modify_mount_target_security_groups(
            MountTargetId=made.physical_id, SecurityGroups=groups
        )


KINDS = {
    "AWS::EFS::FileSystem": Api(
        "efs", "create_file_system", "FileSystemId",
        {"Arn": "FileSystemArn", "FileSystemId": "FileSystemId"}, names={"FileSystemTags": "Tags"},
        tags="FileSystemTags", apart=POLICIES, prepare=_keep_a_backup, after=_settle_files,
        update_apart_only=True, delete="delete_file_system", delete_by={"FileSystemId": "@ref"},
    ),
    "AWS::EFS::MountTarget": Api(
        "efs", "create_mount_target", "MountTargetId",
        {"Id": "MountTargetId", "IpAddress": "IpAddress"}, tags="", after=_settle_target,
        update_apart_only=True, delete="delete_mount_target",
        delete_by={"MountTargetId": "@ref"},
    ),
    "AWS::EFS::AccessPoint": Api(
        "efs", "create_access_point", "AccessPointId",
        {"Arn": "AccessPointArn", "AccessPointId": "AccessPointId"},
        names={"AccessPointTags": "Tags"}, tags="AccessPointTags",
        delete="delete_access_point", delete_by={"AccessPointId": "@ref"},
    ),
}  # fmt: skip
