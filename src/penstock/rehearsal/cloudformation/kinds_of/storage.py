"""S3."""

from typing import Any

from penstock.rehearsal.cloudformation.kinds import Api, Properties, ResourceFailed, Scene
from penstock.rehearsal.cloudformation.records import Made

BUCKET_CALLS = {
    "VersioningConfiguration": ("put_bucket_versioning", "VersioningConfiguration"),
    "PublicAccessBlockConfiguration": (
        "put_public_access_block",
        "PublicAccessBlockConfiguration",
    ),
}


def _where(scene: Scene, wish: Properties) -> Properties:
    known = {"BucketName", "Tags"} | BUCKET
    if odd := set(wish) - known:
        raise ResourceFailed(f"the stand-in does not know the bucket's {sorted(odd)}")
    handed = {"BucketName": wish["BucketName"]}
    if scene.cloud.region != "us-east-1":
        handed["CreateBucketConfiguration"] = {"LocationConstraint": scene.cloud.region}
    return handed


def _settle_bucket(scene: Scene, made: Made) -> None:
    s3, name, wish = scene.client("s3"), made.physical_id, made.properties
    made.attributes |= {
        "Arn": f"arn:aws:s3:::{name}",
        "DomainName": f"{name}.s3.amazonaws.com",
        "RegionalDomainName": f"{name}.s3.{scene.cloud.region}.amazonaws.com",
    }
    for key, (call, parameter) in BUCKET_CALLS.items():
        if key in wish:
            getattr(s3, call)(Bucket=name, **{parameter: _plain(wish[key])})
    if encryption := wish.get("BucketEncryption"):
        rules = [
            {
                "ApplyServerSideEncryptionByDefault": each.get(
                    "ServerSideEncryptionByDefault", {}
                ),
                "BucketKeyEnabled": str(each.get("BucketKeyEnabled", False)).lower() == "true",
            }
            for each in encryption["ServerSideEncryptionConfiguration"]
        ]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    if ownership := wish.get("OwnershipControls"):
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=ownership)
    if lifecycle := wish.get("LifecycleConfiguration"):
        s3.put_bucket_lifecycle_configuration(
            Bucket=name, LifecycleConfiguration={"Rules": [_rule(r) for r in lifecycle["Rules"]]}
        )
    tags = {**scene.stack.tags, **{each["Key"]: each["Value"] for each in wish.get("Tags", ())}}
    if tags:
        as_set = [{"Key": key, "Value": value} for key, value in tags.items()]
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": as_set})


def _rule(given: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "ID": given.get("Id", "rule"),
        "Status": given["Status"],
        "Filter": {"Prefix": given.get("Prefix", "")},
    }
    if "ExpirationInDays" in given:
        rule["Expiration"] = {"Days": int(given["ExpirationInDays"])}
    if later := given.get("NoncurrentVersionExpiration"):
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": int(later["NoncurrentDays"])}
    if upload := given.get("AbortIncompleteMultipartUpload"):
        rule["AbortIncompleteMultipartUpload"] = {
            "DaysAfterInitiation": int(upload["DaysAfterInitiation"])
        }
    known = {
        "Id", "Status", "Prefix", "ExpirationInDays", "NoncurrentVersionExpiration",
        "AbortIncompleteMultipartUpload",
    }  # fmt: skip
    if odd := set(given) - known:
        raise ResourceFailed(f"the stand-in does not know the lifecycle rule's {sorted(odd)}")
    return rule


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if value in {"true", "false"}:
        return value == "true"
    return value


def _unconditional(_: Scene, wish: Properties) -> Properties:
    """Return the policy without what it denies under a condition, which moto would deny always."""
    document = dict(wish["PolicyDocument"])
    statements = document.get("Statement", [])
    document["Statement"] = [
        each for each in statements if each["Effect"] != "Deny" or not each.get("Condition")
    ]
    return {**wish, "PolicyDocument": document}


BUCKET = frozenset(
    {
        *BUCKET_CALLS, "BucketEncryption", "LifecycleConfiguration", "OwnershipControls",
    }
)  # fmt: skip
KINDS = {
    "AWS::S3::Bucket": Api(
        "s3", "create_bucket", "=Bucket",
        delete="delete_bucket", delete_by={"Bucket": "@ref"},
        name="BucketName", lower=True, names={"BucketName": "Bucket"}, tags="",
        apart=BUCKET, prepare=_where, after=_settle_bucket, update_apart_only=True,
    ),
    "AWS::S3::BucketPolicy": Api(
        "s3", "put_bucket_policy", "=Bucket", names={"PolicyDocument": "Policy"},
        update="put_bucket_policy", prepare=_unconditional,
        delete="delete_bucket_policy", delete_by={"Bucket": "@ref"},
    ),
}  # fmt: skip
