"""Secrets, parameters, databases, caches."""

import secrets
import string

from penstock.rehearsal.cloudformation.kinds import Api, Properties, Scene
from penstock.rehearsal.cloudformation.records import Made

PUNCTUATION = "!#$%&()*+,-.:;<=>?[]^_{|}~"


def _generate_secret(_: Scene, wish: Properties) -> Properties:
    rest = {name: value for name, value in wish.items() if name != "GenerateSecretString"}
    asked = wish.get("GenerateSecretString")
    if asked is None:
        return rest
    letters = string.ascii_letters + string.digits
    if str(asked.get("ExcludePunctuation", False)).lower() != "true":
        letters += PUNCTUATION
    left = [each for each in letters if each not in asked.get("ExcludeCharacters", "")]
    word = "".join(secrets.choice(left) for _ in range(int(asked.get("PasswordLength", 32))))
    if key := asked.get("GenerateStringKey"):
        opening = asked.get("SecretStringTemplate", "{}").rstrip().removesuffix("}").rstrip()
        comma = "" if opening.endswith("{") else ", "
        word = f'{opening}{comma}"{key}": "{word}"}}'
    return {**rest, "SecretString": word}


def _secret_id(_: Scene, made: Made) -> None:
    made.attributes["Id"] = made.physical_id


def _endpoint(scene: Scene, made: Made) -> None:
    rds = scene.client("rds")
    found = rds.describe_db_clusters(DBClusterIdentifier=made.physical_id)["DBClusters"][0]
    made.attributes |= {
        "Endpoint.Address": found.get("Endpoint", ""),
        "Endpoint.Port": str(found.get("Port", 5432)),
        "DBClusterArn": found["DBClusterArn"],
        "MasterUserSecret.SecretArn": found.get("MasterUserSecret", {}).get("SecretArn", ""),
    }


def _amend_secret(scene: Scene, made: Made, wish: Properties) -> None:
    """A secret that was generated stays, unless how to generate it has changed."""
    asked = "GenerateSecretString"
    if wish.get(asked) == made.properties.get(asked):
        wish = {name: value for name, value in wish.items() if name != asked}
    told = _generate_secret(scene, wish)
    names = ("SecretString", "Description", "KmsKeyId")
    changes = {name: told[name] for name in names if name in told}
    scene.client("secretsmanager").update_secret(SecretId=made.physical_id, **changes)


def _amend_user_group(scene: Scene, made: Made, wish: Properties) -> None:
    old, new = (set(each.get("UserIds", ())) for each in (made.properties, wish))
    changes = {"UserIdsToAdd": sorted(new - old), "UserIdsToRemove": sorted(old - new)}
    scene.client("elasticache").modify_user_group(
        UserGroupId=made.physical_id, **{name: ids for name, ids in changes.items() if ids}
    )


def _amend_parameter(scene: Scene, made: Made, wish: Properties) -> None:
    scene.client("ssm").put_parameter(
        Name=made.physical_id, Value=wish["Value"], Type=wish["Type"], Overwrite=True
    )


KINDS = {
    "AWS::SecretsManager::Secret": Api(
        "secretsmanager", "create_secret", "ARN", name="Name", name_length=255,
        prepare=_generate_secret, after=_secret_id, amend=_amend_secret,
        delete="delete_secret",
        delete_by={"SecretId": "@ref", "ForceDeleteWithoutRecovery": "!yes"},
    ),
    "AWS::SSM::Parameter": Api(
        "ssm", "put_parameter", "=Name", name="Name", amend=_amend_parameter,
        delete="delete_parameter", delete_by={"Name": "@ref"},
    ),
    "AWS::RDS::DBSubnetGroup": Api(
        "rds", "create_db_subnet_group", "=DBSubnetGroupName", name="DBSubnetGroupName",
        lower=True, update="modify_db_subnet_group",
        delete="delete_db_subnet_group", delete_by={"DBSubnetGroupName": "@ref"},
    ),
    "AWS::RDS::DBCluster": Api(
        "rds", "create_db_cluster", "=DBClusterIdentifier", name="DBClusterIdentifier",
        lower=True, after=_endpoint, update="modify_db_cluster",
        delete="delete_db_cluster",
        delete_by={"DBClusterIdentifier": "@ref", "SkipFinalSnapshot": "!yes"},
    ),
    "AWS::RDS::DBInstance": Api(
        "rds", "create_db_instance", "=DBInstanceIdentifier", name="DBInstanceIdentifier",
        lower=True, update="modify_db_instance", delete="delete_db_instance",
        delete_by={"DBInstanceIdentifier": "@ref", "SkipFinalSnapshot": "!yes"},
    ),
    "AWS::ElastiCache::ServerlessCache": Api(
        "elasticache", "create_serverless_cache", "=ServerlessCacheName",
        {
            "ARN": "ServerlessCache.ARN",
            "Endpoint.Address": "ServerlessCache.Endpoint.Address",
            "Endpoint.Port": "ServerlessCache.Endpoint.Port",
        },
        name="ServerlessCacheName", name_length=40, lower=True,
        update="modify_serverless_cache",
        delete="delete_serverless_cache", delete_by={"ServerlessCacheName": "@ref"},
    ),
    "AWS::ElastiCache::User": Api(
        "elasticache", "create_user", "=UserId", {"Arn": "ARN", "Status": "Status"},
        update="modify_user", delete="delete_user", delete_by={"UserId": "@ref"},
    ),
    "AWS::ElastiCache::UserGroup": Api(
        "elasticache", "create_user_group", "=UserGroupId", {"Arn": "ARN", "Status": "Status"},
        amend=_amend_user_group,
        delete="delete_user_group", delete_by={"UserGroupId": "@ref"},
    ),
}  # fmt: skip
