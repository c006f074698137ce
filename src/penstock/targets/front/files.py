"""Open WebUI's files: accounts and conversations, on a file system in both zones."""

from troposphere import AWSObject, GetAtt, NoValue, Ref, efs

from penstock.targets.aws.network import entry, reached_group, way
from penstock.targets.front.scene import Scene
from penstock.targets.front.where import Where

UI_USER = "1000"
"""User and group that Open WebUI runs as."""
NFS_PORT = 2049


def file_share(scene: Scene, where: Where) -> list[AWSObject]:
    """The file system `Files`, encrypted and backed up, and the one folder that is used of it."""
    who = entry("UiGroup", "Open WebUI", NFS_PORT, NFS_PORT)
    reached = reached_group("FilesGroup", f"Files of {scene.stack}", where.vpc, who)
    share = efs.FileSystem(
        "Files",
        Encrypted=True,
        KmsKeyId=scene.key or NoValue,
        PerformanceMode="generalPurpose",
        ThroughputMode="elastic",
        BackupPolicy=efs.BackupPolicy(Status="ENABLED"),
    )
    targets = [
        efs.MountTarget(
            f"FilesIn{zone}",
            FileSystemId=Ref(share),
            SubnetId=subnet,
            SecurityGroups=[GetAtt(reached, "GroupId")],
        )
        for zone, subnet in zip("AB", where.subnets, strict=True)
    ]
    folder = efs.AccessPoint(
        "UiFiles",
        FileSystemId=Ref(share),
        PosixUser=efs.PosixUser(Uid=UI_USER, Gid=UI_USER),
        RootDirectory=efs.RootDirectory(
            Path="/open-webui",
            CreationInfo=efs.CreationInfo(OwnerUid=UI_USER, OwnerGid=UI_USER, Permissions="0750"),
        ),
    )
    return [
        reached,
        way("UiReachesFiles", "UiGroup", "FilesGroup", NFS_PORT),
        share,
        *targets,
        folder,
    ]
