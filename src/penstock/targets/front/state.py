"""Managed state: an Aurora PostgreSQL that sleeps or grows, and a Valkey that counts."""

from troposphere import AWSObject, GetAtt, Join, NoValue, Ref, Sub, elasticache, rds

from penstock.targets.aws.network import entry, reached_group, way
from penstock.targets.front.scene import Scene
from penstock.targets.front.secrets import DATABASE
from penstock.targets.front.where import Where

ENGINE_VERSION = "17.9"
"""Aurora's PostgreSQL; it pauses at 0 units."""
DATABASE_NAME = DATABASE_USER = "penstock"
DATABASE_PORT, COUNTERS_PORTS = 5432, (6379, 6380)


def state(scene: Scene, where: Where) -> list[AWSObject]:
    """The cluster `Database` with one instance, and the cache `Counters`.

    Both are reached from the gateways' group alone. A replaced database leaves a snapshot; one
    that is deleted with its stack does not.
    """
    database = _group("DatabaseGroup", "Database", scene, where, DATABASE_PORT, DATABASE_PORT)
    counters = _group("CountersGroup", "Counters", scene, where, *COUNTERS_PORTS)
    return [
        *database,
        *counters,
        rds.DBSubnetGroup(
            "DatabaseSubnets",
            DBSubnetGroupDescription=f"Database of {scene.stack}",
            SubnetIds=list(where.subnets),
        ),
        *_database(scene),
        elasticache.ServerlessCache(
            "Counters",
            Engine="valkey",
            MajorEngineVersion="8",
            ServerlessCacheName=f"{scene.stack[:31]}-counters".rstrip("-"),
            Description=f"Limits of {scene.stack}",
            SubnetIds=list(where.subnets),
            SecurityGroupIds=[GetAtt("CountersGroup", "GroupId")],
            KmsKeyId=scene.key or NoValue,
            CacheUsageLimits=elasticache.CacheUsageLimits(
                DataStorage=elasticache.DataStorage(Maximum=1, Unit="GB"),
                ECPUPerSecond=elasticache.ECPUPerSecond(Maximum=10_000),
            ),
        ),
    ]


def _database(scene: Scene) -> list[AWSObject]:
    front = scene.manifest.front
    cluster = rds.DBCluster(
        "Database",
        DeletionPolicy="Delete",
        UpdateReplacePolicy="Snapshot",
        Engine="aurora-postgresql",
        EngineVersion=ENGINE_VERSION,
        DatabaseName=DATABASE_NAME,
        MasterUsername=DATABASE_USER,
        MasterUserPassword=Sub(f"{{{{resolve:secretsmanager:${{{DATABASE}}}:SecretString}}}}"),
        DBSubnetGroupName=Ref("DatabaseSubnets"),
        VpcSecurityGroupIds=[GetAtt("DatabaseGroup", "GroupId")],
        ServerlessV2ScalingConfiguration=rds.ServerlessV2ScalingConfiguration(
            MinCapacity=front.database_min_acu, MaxCapacity=front.database_max_acu
        ),
        StorageEncrypted=True,
        KmsKeyId=scene.key or NoValue,
        BackupRetentionPeriod=7,
        CopyTagsToSnapshot=True,
        EnableCloudwatchLogsExports=["postgresql"],
    )
    instance = rds.DBInstance(
        "DatabaseInstance",
        Engine="aurora-postgresql",
        DBClusterIdentifier=Ref(cluster),
        DBInstanceClass="db.serverless",
        PubliclyAccessible=False,
        AutoMinorVersionUpgrade=True,
    )
    return [cluster, instance]


def _group(
    title: str, about: str, scene: Scene, where: Where, first: int, last: int
) -> list[AWSObject]:
    """A group that the gateways alone reach, and the gateways' way to it."""
    who = entry("GatewayGroup", "The gateways", first, last)
    made = reached_group(title, f"{about} of {scene.stack}", where.vpc, who)
    return [made, way(f"GatewayTo{about}", "GatewayGroup", title, first, last)]


def database_url(host: object) -> Join:
    """The database's address without its password, which the driver takes from `PGPASSWORD`."""
    return Join("", [f"postgresql://{DATABASE_USER}@", host, f":{DATABASE_PORT}/{DATABASE_NAME}"])
