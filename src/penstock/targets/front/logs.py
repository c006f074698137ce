"""Log groups: kept for 30 days, under the deployment's key if it has made one."""

from troposphere import logs

KEPT_DAYS = 30


def log_group(title: str, key: object | None) -> logs.LogGroup:
    """A log group that CloudFormation names.

    A key of the user's own is not used: CloudWatch would need to be let in by its policy. One that
    the deployment makes lets it in.
    """
    own = key if not isinstance(key, str) else None
    options = {} if own is None else {"KmsKeyId": own}
    return logs.LogGroup(title, RetentionInDays=KEPT_DAYS, **options)
