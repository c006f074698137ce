"""The bucket of a deployment: private, encrypted, over TLS alone, and the deployment's own."""

from troposphere import GetAtt, Ref, Sub, s3


def bucket(kms_key: object | None, expiring: tuple[str, ...] = ()) -> list[object]:
    """The bucket and its policy; what lies below the prefixes `expiring` is kept for 30 days.

    Files are named by their digest, so there are no versions to keep.
    """
    encryption = s3.ServerSideEncryptionByDefault(SSEAlgorithm="AES256")
    if kms_key:
        encryption = s3.ServerSideEncryptionByDefault(
            SSEAlgorithm="aws:kms", KMSMasterKeyID=kms_key
        )
    made = s3.Bucket(
        "Bucket",
        BucketEncryption=s3.BucketEncryption(
            ServerSideEncryptionConfiguration=[
                s3.ServerSideEncryptionRule(
                    BucketKeyEnabled=bool(kms_key), ServerSideEncryptionByDefault=encryption
                )
            ]
        ),
        PublicAccessBlockConfiguration=s3.PublicAccessBlockConfiguration(
            BlockPublicAcls=True,
            BlockPublicPolicy=True,
            IgnorePublicAcls=True,
            RestrictPublicBuckets=True,
        ),
        OwnershipControls=s3.OwnershipControls(
            Rules=[s3.OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")]
        ),
        LifecycleConfiguration=s3.LifecycleConfiguration(Rules=_rules(expiring)),
    )
    policy = s3.BucketPolicy(
        "BucketPolicy",
        Bucket=Ref(made),
        PolicyDocument={
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [GetAtt(made, "Arn"), Sub("${Bucket.Arn}/*")],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ],
        },
    )
    return [made, policy]


def _rules(expiring: tuple[str, ...]) -> list[s3.LifecycleRule]:
    unfinished = s3.LifecycleRule(
        Status="Enabled",
        AbortIncompleteMultipartUpload=s3.AbortIncompleteMultipartUpload(DaysAfterInitiation=7),
    )
    return [unfinished] + [
        s3.LifecycleRule(Status="Enabled", Prefix=prefix, ExpirationInDays=30)
        for prefix in expiring
    ]
