"""A KMS key of the deployment's own, for all that it keeps."""

from troposphere import AWSObject, Join, Ref, Sub, kms

_ACCOUNT = "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"
_GROUPS = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:*"


def own_key(stack: str) -> list[AWSObject]:
    """The key `Key`, rotated every year, and its alias.

    The account decides who uses it, by the policies of its roles; CloudWatch's logs have no role,
    and are let in here. A deleted key can be brought back for 7 days.
    """
    owner = {
        "Sid": "TheAccountDecides",
        "Effect": "Allow",
        "Principal": {"AWS": Sub(_ACCOUNT)},
        "Action": "kms:*",
        "Resource": "*",
    }
    logs = {
        "Sid": "LogsAreEncrypted",
        "Effect": "Allow",
        "Principal": {"Service": Sub("logs.${AWS::Region}.${AWS::URLSuffix}")},
        "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*"],
        "Resource": "*",
        "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": Sub(_GROUPS)}},
    }
    key = kms.Key(
        "Key",
        Description=Join("", ["Penstock: all that ", stack, " keeps"]),
        EnableKeyRotation=True,
        PendingWindowInDays=7,
        KeyPolicy={"Version": "2012-10-17", "Statement": [owner, logs]},
    )
    return [key, kms.Alias("KeyAlias", AliasName=f"alias/{stack}", TargetKeyId=Ref(key))]
